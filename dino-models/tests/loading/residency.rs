//! Where weights are changes no bit of what a model computes, and a file that is changed meanwhile is an error.

use crate::common::{golden, run, tiny, with_cache};
use dino_core::CoreError;
use dino_kernels::{Compute, KvType};
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::format::ModelFile;
use dino_models::packed_file::PackedCache;
use dino_models::{Batch, ModelError, Residency, Scratch, Wanted};
use std::path::Path;

fn placed(residency: Residency, path: &Path) -> LoaderOptions {
    LoaderOptions {
        residency,
        ..with_cache(path)
    }
}

#[test]
fn all_places_give_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["gqa", "quantized", "untied_f32"] {
        let (expected, _) = run(&tiny(name), LoaderOptions::default());
        let path = folder.path().join(name);
        let streamed = Residency::Streamed { budget: 400_000 };
        // The first of them writes the file and is run from it at once.
        for residency in [
            streamed,
            Residency::Mapped,
            streamed,
            Residency::Resident,
            Residency::Auto,
        ] {
            let (found, packed) = run(&tiny(name), placed(residency, &path));
            assert!(
                matches!(packed, PackedCache::Written(_) | PackedCache::Used(_)),
                "{packed:?}"
            );
            assert_eq!(found, expected, "{name} {residency:?}");
        }
        let options = LoaderOptions {
            read_tensors: true,
            ..LoaderOptions::default()
        };
        assert_eq!(
            run(&tiny(name), options).0,
            expected,
            "{name} by ordinary reads"
        );
    }
}

/// Files of many types of weights, recurrent and mixed models among them.
#[test]
fn weights_that_stay_in_the_file_give_the_same_bits() {
    let folder = std::fs::read_dir(golden("tiny_architectures")).unwrap();
    let files = folder.map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|e| e == "gguf"))
        .collect();
    files.extend(["gqa", "quantized", "untied_f32"].map(tiny));
    assert!(files.len() > 10);
    for file in files {
        for precise in [false, true] {
            let options = |residency| LoaderOptions {
                residency,
                precise,
                ..LoaderOptions::default()
            };
            let (expected, _) = run(&file, options(Residency::Auto));
            let (found, packed) = run(&file, options(Residency::Unpacked));
            assert!(matches!(packed, PackedCache::Off), "{packed:?}");
            assert_eq!(found, expected, "{}", file.display());
        }
    }
}

#[test]
fn a_model_file_that_is_cut_while_it_is_run_from_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::copy(tiny("untied_f32"), &path).unwrap();
    let file = ModelFile::open(&path).unwrap();
    let compute = Compute::new(1).unwrap();
    let options = LoaderOptions {
        residency: Residency::Unpacked,
        ..LoaderOptions::default()
    };
    let mut loader = Loader::new(&file, &compute, options);
    let model = Registry::default().build(&mut loader).unwrap();
    let mut cache = model.config().new_cache(KvType::F16, None);
    let (sequence, mut batch, mut scratch) = (cache.add(), Batch::default(), Scratch::new());
    batch.push(sequence, &[1, 2, 3], Wanted::Last);
    let mut forward = || model.forward(&compute, &batch, &mut cache, &mut scratch);
    forward().unwrap();
    let whole = std::fs::File::options().write(true).open(&path).unwrap();
    whole.set_len(5000).unwrap();
    let error = forward().unwrap_err();
    assert!(
        matches!(&error, ModelError::Core(CoreError::FileChanged { path: changed }) if *changed == path),
        "{error}"
    );
}

#[test]
fn layers_that_come_and_go_give_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (model, path) = (
        golden("tiny_architectures/gemma3.gguf"),
        folder.path().join("packed"),
    );
    let (expected, _) = run(&model, with_cache(&path));
    let streamed = |budget| placed(Residency::Streamed { budget }, &path);
    let file = ModelFile::open(&model).unwrap();
    let compute = Compute::new(1).unwrap();
    let built = Registry::default().build(&mut Loader::new(&file, &compute, streamed(0)));
    let Err(ModelError::BudgetTooSmall { needed, .. }) = built.map(drop) else {
        panic!("no budget at all is too small");
    };
    let least = needed;
    let whole = std::fs::metadata(&path).unwrap().len() as usize;
    assert!(
        least < whole / 2,
        "{least} of {whole} bytes: most layers come and go"
    );
    for budget in [least, least + whole / 4, 4 * whole] {
        for evicts in [false, true] {
            let options = LoaderOptions {
                evicts,
                ..streamed(budget)
            };
            assert_eq!(run(&model, options).0, expected, "{budget} {evicts}");
        }
    }
}

#[test]
fn experts_that_come_when_a_token_is_routed_to_them_give_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["qwen3moe-q8_0", "olmoe", "qwen2moe", "granitemoe"] {
        let (model, path) = (
            golden(&format!("tiny_architectures/{name}.gguf")),
            folder.path().join(name),
        );
        let (expected, _) = run(&model, with_cache(&path));
        let streamed = |budget| placed(Residency::Streamed { budget }, &path);
        let file = ModelFile::open(&model).unwrap();
        let compute = Compute::new(2).unwrap();
        let build =
            |budget| Registry::default().build(&mut Loader::new(&file, &compute, streamed(budget)));
        let Err(ModelError::BudgetTooSmall { needed, .. }) = build(0).map(drop) else {
            panic!("no budget at all is too small");
        };
        let least = needed;
        let whole = std::fs::metadata(&path).unwrap().len() as usize;
        for budget in (least..whole).step_by(whole / 8) {
            assert_eq!(run(&model, streamed(budget)).0, expected, "{name} {budget}");
        }
        let model = build(least).unwrap();
        let mut cache = model.config().new_cache(KvType::F16, None);
        let sequence = cache.add();
        let (mut batch, mut scratch) = (Batch::default(), Scratch::new());
        for token in [1, 2, 3, 5, 8, 1, 2, 3, 5, 8] {
            batch.clear();
            batch.push(sequence, &[token], Wanted::Last);
            model
                .forward(&compute, &batch, &mut cache, &mut scratch)
                .unwrap();
        }
        let stats = model.expert_stats().unwrap();
        let experts: usize = file
            .metadata
            .scoped()
            .unwrap()
            .get("expert_used_count")
            .unwrap();
        // Each token of each layer wants that many, and no other is read.
        let wanted = 10 * experts * model.config().layers;
        assert_eq!((stats.hits + stats.misses) as usize, wanted, "{name}");
        assert!(stats.misses > 0 && stats.held <= stats.room, "{stats:?}");
        let whole = build(4 * whole).unwrap();
        assert_eq!(whole.expert_stats(), None, "all of them stay");
    }
}

#[test]
fn a_budget_that_is_too_small_says_what_would_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = ModelFile::open(tiny("gqa")).unwrap();
    let compute = Compute::new(1).unwrap();
    let options = placed(
        Residency::Streamed { budget: 1000 },
        &folder.path().join("packed"),
    );
    let built = Registry::default().build(&mut Loader::new(&file, &compute, options));
    match built.map(drop) {
        Err(ModelError::BudgetTooSmall {
            budget: 1000,
            needed,
        }) => assert!(needed > 10_000),
        other => panic!("expected a budget that is too small, found {other:?}"),
    }
    // Nothing half-written stays.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_packed_file_that_is_cut_while_it_is_in_use_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed");
    let file = ModelFile::open(tiny("gqa")).unwrap();
    let compute = Compute::new(1).unwrap();
    let streamed = Residency::Streamed { budget: 400_000 };
    for residency in [Residency::Mapped, streamed] {
        // The load that writes the file runs from it just like the one that finds it.
        for is_there in [false, true] {
            if is_there {
                run(&tiny("gqa"), with_cache(&path));
            } else {
                let _ = std::fs::remove_file(&path);
            }
            let mut loader = Loader::new(&file, &compute, placed(residency, &path));
            let model = Registry::default().build(&mut loader).unwrap();
            match loader.finish_packed() {
                PackedCache::Used(_) => assert!(is_there),
                PackedCache::Written(_) => assert!(!is_there),
                other => panic!("{other:?}"),
            }
            let mut cache = model.config().new_cache(KvType::F16, None);
            let mut batch = Batch::default();
            let sequence = cache.add();
            batch.push(sequence, &[1, 2, 3], Wanted::Last);
            let mut scratch = Scratch::new();
            model
                .forward(&compute, &batch, &mut cache, &mut scratch)
                .unwrap();
            let packed = std::fs::File::options().write(true).open(&path).unwrap();
            packed.set_len(5000).unwrap();
            let error = model
                .forward(&compute, &batch, &mut cache, &mut scratch)
                .unwrap_err();
            assert!(
                matches!(&error, ModelError::Core(CoreError::FileChanged { path: found }) if *found == path),
                "{error}"
            );
            assert_eq!(cache.len(sequence).unwrap(), 3, "as long as before");
        }
    }
}
