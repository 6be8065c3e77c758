//! Models that lose weights, channels, heads and layers. Parts that add nothing to a model are found and go, and nothing else
//! changes: that needs no other implementation to compare with.

use std::path::Path;

use dino_core::{DType, Storage, Tensor};
use dino_kernels::Compute;
use dino_llm::quantize::{Calibrator, Cut, CutError, FileQuantizer, QuantizeError, tensor_facts};
use dino_llm::{Generator, KvType, Model};
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::format::{ModelFile, Weights};
use dino_quant::QuantError;
use dino_quant::calibration::Calibration;
use dino_quant::plan::{Plan, Preset, Rules};
use dino_quant::prune::{Criterion, Prune, Pruning, Sparsity};

const TEXT: &str =
    "The sea was calm and the sky was wide, and nothing moved but the light on the water. ";
const TOKENS: [u32; 24] = [
    3, 10, 17, 24, 31, 38, 45, 52, 59, 66, 73, 80, 87, 94, 101, 108, 115, 122, 129, 136, 143, 150,
    157, 164,
];

fn golden(name: &str) -> ModelFile {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    Registry::default().open(golden.join(name)).unwrap()
}

/// The file with other values, as F32; `change` is given each value with its tensor, row and column.
fn changed(file: ModelFile, change: impl Fn(&str, usize, usize, f32) -> f32) -> ModelFile {
    let mut weights = Weights::new(&file.path);
    for tensor in file.weights.iter() {
        let values = tensor.to_array().unwrap();
        let new = values
            .indexed_iter()
            .map(|((row, column), &value)| change(tensor.name(), row, column, value).to_le_bytes());
        let storage = Storage::from_vec(new.flatten().collect());
        let tensor = Tensor::new(tensor.name(), DType::F32, tensor.shape(), storage).unwrap();
        weights.insert(tensor).unwrap();
    }
    ModelFile { weights, ..file }
}

/// The two layers of the tiny model as four; the third, which is in front of a copy of itself, adds nothing to the stream.
fn four_layers() -> ModelFile {
    let file = golden("tiny/gqa.gguf");
    let mut weights = Weights::new(&file.path);
    for tensor in file.weights.iter() {
        let copy = |layer: usize| {
            let name = tensor.name().replace("blk.1.", &format!("blk.{layer}."));
            let (dtype, shape) = (tensor.dtype(), tensor.shape());
            Tensor::new(name, dtype, shape, tensor.storage().clone()).unwrap()
        };
        let layers = if tensor.name().starts_with("blk.1.") {
            1..4
        } else {
            1..2
        };
        layers.for_each(|layer| weights.insert(copy(layer)).unwrap());
    }
    let mut file = ModelFile { weights, ..file };
    file.metadata.insert("llama.block_count", 4_u32);
    changed(file, |name, _, _, value| match name {
        "blk.2.attn_output.weight" | "blk.2.ffn_down.weight" => 0.0,
        _ => value,
    })
}

fn logits(file: ModelFile) -> Vec<f32> {
    let builder = Model::builder().precise(true).threads(1);
    let model = builder.kv_cache_type(KvType::F32).load_file(file);
    let mut logits = Vec::new();
    let mut generator = Generator::new(&model.unwrap());
    let keep = |_, row: &[f32]| logits.extend_from_slice(row);
    generator.for_each_logits(&TOKENS, 0, keep).unwrap();
    logits
}

fn calibrated(file: ModelFile) -> Calibration {
    let mut calibrator = Calibrator::new(Model::builder().threads(1), file, 64).unwrap();
    let text = TEXT.repeat(20);
    calibrator
        .read(Path::new("sea"), &text, 2, |_, _| {})
        .unwrap();
    calibrator.finish()
}

fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    for (x, y) in found.iter().zip(expected) {
        assert!((x - y).abs() <= 1e-5 * size, "{x} {y}");
    }
}

/// The file, cut as `prune` says, through a file of its own, with what its metadata says of `key`.
fn cut(file: impl Fn() -> ModelFile, prune: &str, calibration: Option<&Calibration>) -> ModelFile {
    let mut smaller = file();
    let cut = Cut::find(&smaller, &prune.parse().unwrap(), calibration).unwrap();
    cut.apply(&mut smaller).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smaller.gguf");
    FileQuantizer::new(&smaller, &Plan::new("as it is"))
        .write(&path)
        .unwrap();
    ModelFile::open(&path).unwrap()
}

fn number(file: &ModelFile, key: &str) -> usize {
    file.metadata.get(key).unwrap()
}

#[test]
fn channels_that_add_nothing_go() {
    // A third of each layer's channels, not the same ones: some read by nobody, some always zero.
    let idle = |layer: &str, channel: usize| match layer {
        "blk.0" => channel % 3 == 1,
        _ => channel < 32,
    };
    let file = || {
        changed(golden("tiny/gqa.gguf"), |name, row, column, value| {
            let layer = &name[..5.min(name.len())];
            let is_idle = name.ends_with("ffn_down.weight") && idle(layer, column)
                || name == "blk.0.ffn_up.weight" && idle(layer, row);
            if is_idle { 0.0 } else { value }
        })
    };
    let calibration = calibrated(file());
    for calibration in [None, Some(&calibration)] {
        let smaller = cut(file, "ffn:0.33", calibration);
        assert_eq!(number(&smaller, "llama.feed_forward_length"), 64);
        assert_eq!(
            smaller
                .weights
                .get("blk.1.ffn_down.weight")
                .unwrap()
                .shape(),
            [64, 64]
        );
        assert_near(&logits(smaller), &logits(file()));
    }
}

#[test]
fn heads_that_add_nothing_go_with_the_queries_that_read_them() {
    // Key/value head 0 of layer 0 and 1 of layer 1; two query heads of 16 read each.
    let idle = |layer: &str, column: usize| match layer {
        "blk.0" => column < 32,
        _ => column >= 32,
    };
    let file = || {
        changed(golden("tiny/gqa.gguf"), |name, _, column, value| {
            let layer = &name[..5.min(name.len())];
            let is_idle = name.ends_with("attn_output.weight") && idle(layer, column);
            if is_idle { 0.0 } else { value }
        })
    };
    let smaller = cut(file, "heads:0.5", None);
    assert_eq!(number(&smaller, "llama.attention.head_count"), 2);
    assert_eq!(number(&smaller, "llama.attention.head_count_kv"), 1);
    assert_eq!(number(&smaller, "llama.attention.key_length"), 16);
    assert_near(&logits(smaller), &logits(file()));
    let too_many = Cut::find(&file(), &"heads:0.9".parse().unwrap(), None);
    assert!(matches!(too_many, Err(CutError::TooMany { most: 1, .. })));
}

#[test]
fn a_layer_that_changes_nothing_goes() {
    let prune: Prune = "layers:1".parse().unwrap();
    let without_text = Cut::find(&four_layers(), &prune, None);
    assert!(matches!(without_text, Err(CutError::NoText)));
    let calibration = calibrated(four_layers());
    assert!(calibration.layers[2].mean() < 1e-6);
    let smaller = cut(four_layers, "layers:1", Some(&calibration));
    assert_eq!(number(&smaller, "llama.block_count"), 3);
    assert_near(&logits(smaller), &logits(four_layers()));
    let too_many = Cut::find(
        &four_layers(),
        &"layers:3".parse().unwrap(),
        Some(&calibration),
    );
    assert!(matches!(too_many, Err(CutError::TooMany { most: 2, .. })));
}

#[test]
fn what_an_architecture_cannot_lose_is_refused() {
    let find = |file: &str, prune: &str, layers: usize| {
        let calibration = Calibration {
            layers: vec![dino_quant::calibration::Influence::default(); layers],
            ..Calibration::default()
        };
        Cut::find(
            &golden(&format!("tiny_architectures/{file}.gguf")),
            &prune.parse().unwrap(),
            Some(&calibration),
        )
    };
    // Which layers have windows follows from their places.
    assert!(matches!(
        find("gemma3", "layers:2", 7),
        Err(CutError::Moved { .. })
    ));
    for (file, prune) in [
        ("olmoe", "ffn:0.5"),
        ("mamba", "heads:0.5"),
        ("lfm2", "heads:0.5"),
    ] {
        let error = find(file, prune, 0).unwrap_err();
        assert!(matches!(error, CutError::Unfit(_)), "{file}: {error}");
    }
    // Fused gate and up projections lose both halves of a channel.
    let mut phi = golden("tiny_architectures/phi3.gguf");
    let cut = Cut::find(&phi, &"ffn:0.5".parse().unwrap(), None).unwrap();
    cut.apply(&mut phi).unwrap();
    assert_eq!(
        phi.weights.info("blk.0.ffn_up.weight").unwrap().shape,
        [32, 16]
    );
    let compute = Compute::new(1).unwrap();
    let mut loader = Loader::new(&phi, &compute, LoaderOptions::default());
    Registry::default().build(&mut loader).unwrap();
}

#[test]
fn weights_that_go_are_zero_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let calibration = calibrated(four_layers());
    let rules = |name: &str| Rules::new(Preset::from_name(name).unwrap());
    for (criterion, sparsity, dtype) in [
        (Criterion::Magnitude, Sparsity::Fraction(0.5), "Q8_0"),
        (
            Criterion::Wanda,
            Sparsity::Pattern { kept: 2, of: 4 },
            "Q4_0",
        ),
        (Criterion::Wanda, Sparsity::Fraction(0.75), "F16"),
    ] {
        let file = four_layers();
        let (plan, _) = rules(dtype).plan(&tensor_facts(&file));
        let pruning = Pruning::new(criterion, sparsity);
        let path = folder.path().join("pruned.gguf");
        let report = FileQuantizer::new(&file, &plan)
            .calibration(&calibration)
            .prune(&pruning)
            .write(&path)
            .unwrap();
        let written = ModelFile::open(&path).unwrap();
        let said: &str = written.metadata.get("dino.quantize.prune").unwrap();
        assert_eq!(said, pruning.to_string());
        for tensor in &report.tensors {
            let inner = ["blk.1.", "blk.2."]
                .iter()
                .any(|layer| tensor.name.starts_with(layer));
            assert_eq!(
                tensor.pruned,
                inner && tensor.shape.len() == 2,
                "{}",
                tensor.name
            );
            let stored = written.weights.get(&tensor.name).unwrap();
            let values = stored.to_array().unwrap();
            let zeros = values.iter().filter(|value| **value == 0.0).count();
            let least = match sparsity {
                Sparsity::Fraction(fraction) => fraction,
                Sparsity::Pattern { .. } => 0.5,
            };
            if tensor.pruned {
                assert!(
                    zeros as f64 >= least * values.len() as f64,
                    "{}",
                    tensor.name
                );
            }
        }
    }
}

/// A file without zeros is smaller, and means the same to the bit.
#[test]
fn zeros_that_are_left_out_are_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    for (dtype, fraction) in [("Q8_0", 0.5), ("Q4_0", 0.7)] {
        let file = four_layers();
        let rules = Rules::new(Preset::from_name(dtype).unwrap());
        let (plan, _) = rules.plan(&tensor_facts(&file));
        let pruning = Pruning::new(Criterion::Magnitude, Sparsity::Fraction(fraction));
        let write = |sparse: bool| {
            let path = folder.path().join(format!("{dtype}-{sparse}.gguf"));
            let report = FileQuantizer::new(&file, &plan)
                .prune(&pruning)
                .sparse(sparse)
                .write(&path)
                .unwrap();
            let read = ModelFile::open(&path).unwrap();
            assert_eq!(read.weights.stored_bytes(), report.bytes());
            for tensor in &report.tensors {
                assert!(!tensor.sparse || sparse);
                assert!(
                    tensor.sparse || !tensor.pruned || !sparse,
                    "{}",
                    tensor.name
                );
            }
            (read, report.bytes())
        };
        let ((sparse, fewer), (dense, bytes)) = (write(true), write(false));
        assert!(fewer < bytes, "{fewer} {bytes}");
        for (sparse, dense) in sparse.weights.iter().zip(dense.weights.iter()) {
            assert_eq!(sparse.storage().as_slice(), dense.storage().as_slice());
        }
        // The kernels of this machine may leave the zeros out or not: the same to the bit.
        let run = |file: ModelFile| {
            let model = Model::builder().threads(1).load_file(file).unwrap();
            let mut logits = Vec::new();
            let keep = |_, row: &[f32]| logits.extend_from_slice(row);
            Generator::new(&model)
                .for_each_logits(&TOKENS, 0, keep)
                .unwrap();
            logits
        };
        assert_eq!(run(sparse), run(dense));
    }
}

/// What goes wrong with pruning is told, and nothing is left.
#[test]
fn pruning_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pruned.gguf");
    let plan = Plan::new("as it is");
    let wanda = Pruning::new(Criterion::Wanda, Sparsity::Fraction(0.5));
    let unjudged = FileQuantizer::new(&four_layers(), &plan)
        .prune(&wanda)
        .write(&path);
    assert!(matches!(
        unjudged,
        Err(QuantizeError::Tensor { source: QuantError::NoImportance, tensor, .. }) if tensor.starts_with("blk.1.")
    ));
    let damaged = changed(four_layers(), |name, row, column, value| {
        let is_hit = name == "blk.1.ffn_up.weight" && (row, column) == (5, 7);
        if is_hit { f32::NAN } else { value }
    });
    let magnitude = Pruning::new(Criterion::Magnitude, Sparsity::Fraction(0.9));
    let error = FileQuantizer::new(&damaged, &plan)
        .prune(&magnitude)
        .write(&path);
    assert!(error.unwrap_err().to_string().contains("row 5, column 7"));
    assert!(Cut::find(&damaged, &"ffn:0.5".parse().unwrap(), None).is_ok());
    let damaged = changed(four_layers(), |name, row, _, value| {
        let is_hit = name == "blk.1.ffn_down.weight" && row == 5;
        if is_hit { f32::INFINITY } else { value }
    });
    let error = Cut::find(&damaged, &"ffn:0.5".parse().unwrap(), None).unwrap_err();
    assert!(
        error.to_string().contains("`blk.1.ffn_down.weight`"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
