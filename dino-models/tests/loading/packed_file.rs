//! The packed cache file: a load that uses it gives the same bits, and whatever is wrong with it is only packed again.

use crate::common::{run, tiny, with_cache};
use dino_core::{CoreError, DType, Requantize, Tensor};
use dino_kernels::Int8Range;
use dino_models::arch::LoaderOptions;
use dino_models::packed_file::{PackedCache, PackedFile, PackedFileError};
use dino_models::{Int8, Int8Layer};
use std::sync::Arc;

fn is_written(packed: &PackedCache) -> bool {
    matches!(packed, PackedCache::Written(_))
}

#[test]
fn the_second_load_maps_what_the_first_one_wrote() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["gqa", "quantized", "untied_f32", "bias"] {
        let path = folder.path().join("new/folder").join(name);
        let (expected, off) = run(&tiny(name), LoaderOptions::default());
        assert!(matches!(off, PackedCache::Off));
        let (first, packed) = run(&tiny(name), with_cache(&path));
        assert!(is_written(&packed), "{packed:?}");
        let (second, packed) = run(&tiny(name), with_cache(&path));
        assert!(
            matches!(&packed, PackedCache::Used(at) if *at == path),
            "{packed:?}"
        );
        assert_eq!(first, expected, "{name}");
        assert_eq!(second, expected, "{name}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path().join("new/folder"))
            .unwrap()
            .count(),
        4
    );
}

#[test]
fn a_damaged_file_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed");
    let (expected, _) = run(&tiny("quantized"), with_cache(&path));
    let whole = std::fs::read(&path).unwrap();
    let index = whole.iter().rposition(|&byte| byte == b'[').unwrap();
    let flip = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    // Every byte of the header, some of the index, and lengths from nothing to nearly all.
    let header = (0..136).map(flip);
    let index = (index..whole.len()).step_by(97).map(flip);
    let cut = [0, 1, 135, 136, 4096, whole.len() - 1].map(|len| whole[..len].to_vec());
    for (case, damaged) in header.chain(index).chain(cut).enumerate() {
        std::fs::write(&path, damaged).unwrap();
        let (found, packed) = run(&tiny("quantized"), with_cache(&path));
        assert!(is_written(&packed), "case {case}: {packed:?}");
        assert_eq!(found, expected, "case {case}");
        assert_eq!(std::fs::read(&path).unwrap(), whole, "case {case}");
    }
}

#[test]
fn another_model_or_a_changed_one_is_not_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (model, path) = (
        folder.path().join("model.gguf"),
        folder.path().join("packed"),
    );
    std::fs::copy(tiny("gqa"), &model).unwrap();
    let (first, _) = run(&model, with_cache(&path));
    std::fs::copy(tiny("head_dim"), &model).unwrap();
    let (second, packed) = run(&model, with_cache(&path));
    assert!(is_written(&packed), "{packed:?}");
    assert_ne!(first, second);
    assert_eq!(second, run(&tiny("head_dim"), LoaderOptions::default()).0);
    // The same bytes at another time: the file may have been changed in a place that is not looked at.
    std::fs::copy(tiny("head_dim"), &model).unwrap();
    let now = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::options()
        .write(true)
        .open(&model)
        .unwrap()
        .set_modified(now)
        .unwrap();
    assert!(is_written(&run(&model, with_cache(&path)).1));
}

/// Leaves everything as it is, under a name of its own or none.
struct Encoder(Option<&'static str>);

impl Requantize for Encoder {
    fn identity(&self) -> Option<String> {
        self.0.map(str::to_owned)
    }

    fn target(&self, _: &Tensor) -> Option<DType> {
        None
    }

    fn requantize(&self, tensor: &Tensor, _: DType) -> Result<Tensor, CoreError> {
        Ok(tensor.clone())
    }
}

#[test]
fn another_encoder_gives_another_file_and_an_unnamed_one_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed");
    let mut states = Vec::new();
    for encoder in [Some("one"), Some("one"), Some("two"), None] {
        let options = LoaderOptions {
            requantize: Some(Arc::new(Encoder(encoder))),
            ..with_cache(&path)
        };
        states.push(run(&tiny("gqa"), options).1);
    }
    assert!(
        matches!(
            &states[..],
            [
                PackedCache::Written(_),
                PackedCache::Used(_),
                PackedCache::Written(_),
                PackedCache::Failed(PackedFileError::UnnamedEncoder)
            ]
        ),
        "{states:?}"
    );
}

#[test]
fn a_place_that_cannot_be_written_costs_only_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let (found, packed) = run(&tiny("gqa"), with_cache(&file.join("packed")));
    assert!(
        matches!(&packed, PackedCache::Failed(PackedFileError::Io { .. })),
        "{packed:?}"
    );
    assert_eq!(found, run(&tiny("gqa"), LoaderOptions::default()).0);
}

#[test]
fn sums_find_a_single_flipped_bit_of_any_weight() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed");
    run(&tiny("quantized"), with_cache(&path));
    let whole = std::fs::read(&path).unwrap();
    let file = PackedFile::open(&path).unwrap();
    file.verify().unwrap();
    assert!(file.names().any(|name| name == "blk.0.attn_q.weight"));
    assert_eq!(file.byte_size(), whole.len());
    // The first byte behind each page boundary is a weight's, up to the index.
    let index = whole.iter().rposition(|&byte| byte == b'[').unwrap();
    for at in (4096..index).step_by(4096) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        let error = PackedFile::open(&path).unwrap().verify().unwrap_err();
        assert!(matches!(error, PackedFileError::Damaged { .. }), "{error}");
    }
}

#[test]
fn int8_weights_are_kept_and_not_taken_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed");
    let int8 = |factor: f32| {
        let layer = Int8Layer {
            weights: vec!["blk.0.ffn_up.weight".into()],
            range: Int8Range::Token { symmetric: true },
            factors: vec![factor; 64],
        };
        LoaderOptions {
            int8: Some(Arc::new(Int8::default().with(layer))),
            ..with_cache(&path)
        }
    };
    let (plain, _) = run(&tiny("gqa"), with_cache(&path));
    let (first, packed) = run(&tiny("gqa"), int8(3.0));
    assert!(is_written(&packed), "{packed:?}");
    assert_ne!(plain, first);
    let (second, packed) = run(&tiny("gqa"), int8(3.0));
    assert!(matches!(packed, PackedCache::Used(_)), "{packed:?}");
    assert_eq!(first, second);
    let (_, packed) = run(&tiny("gqa"), int8(5.0));
    assert!(is_written(&packed), "{packed:?}");
    PackedFile::open(&path).unwrap().verify().unwrap();
    let (back, packed) = run(&tiny("gqa"), with_cache(&path));
    assert!(is_written(&packed), "{packed:?}");
    assert_eq!(back, plain);
}
