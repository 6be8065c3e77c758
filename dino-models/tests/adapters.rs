//! Adapters: what peft computes with them, alone and beside others in one batch.

use dino_kernels::{Compute, KvType, KvTypes};
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::format::ModelFile;
use dino_models::{Adapter, Batch, CausalLm, ModelError, Scratch, Wanted};
use ndarray::{Array2, ArrayView2, s};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden")
        .join(path)
}

const ADAPTERS: [&str; 3] = ["attention", "all", "ranks"];
/// Rows of the goldens: the last ones.
const ROWS: usize = 4;

struct Tiny {
    model: Box<dyn CausalLm>,
    compute: Compute,
    ids: Vec<u32>,
}

impl Tiny {
    fn new() -> Self {
        let file = ModelFile::open(golden("tiny/gqa.gguf")).unwrap();
        let compute = Compute::new(2).unwrap();
        let options = LoaderOptions {
            precise: true,
            ..LoaderOptions::default()
        };
        let model = Registry::default()
            .build(&mut Loader::new(&file, &compute, options))
            .unwrap();
        let index = std::fs::read_to_string(golden("tiny/index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_str(&index).unwrap();
        let ids = serde_json::from_value(index[0]["ids"].clone()).unwrap();
        Self {
            model,
            compute,
            ids,
        }
    }

    fn adapter(&self, path: &str, scale: f32) -> Result<Arc<Adapter>, ModelError> {
        let file = ModelFile::open(golden(&format!("tiny_adapters/{path}"))).unwrap();
        Adapter::read(&file, "llama", &*self.model, &self.compute, scale).map(Arc::new)
    }

    /// The last logits of the golden ids, once for each of `adapters`, in one batch.
    fn logits(&self, adapters: &[Option<&Arc<Adapter>>]) -> Vec<Array2<f32>> {
        let f32 = KvTypes {
            keys: KvType::F32,
            values: KvType::F32,
        };
        let mut cache = self.model.config().new_cache(f32, None);
        let mut batch = Batch::default();
        for adapter in adapters {
            batch.push_adapted(cache.add(), &self.ids, Wanted::All, *adapter);
        }
        let mut scratch = Scratch::new();
        self.model
            .forward(&self.compute, &batch, &mut cache, &mut scratch)
            .unwrap();
        let rows = |index: usize| {
            let end = (index + 1) * self.ids.len();
            scratch.logits().slice(s![end - ROWS..end, ..]).to_owned()
        };
        (0..adapters.len()).map(rows).collect()
    }
}

fn expected(name: &str) -> Array2<f32> {
    let bytes = std::fs::read(golden(&format!("tiny_adapters/{name}.f32"))).unwrap();
    let values = bytes
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()));
    let values: Vec<f32> = values.collect();
    Array2::from_shape_vec((ROWS, values.len() / ROWS), values).unwrap()
}

fn nmse(found: ArrayView2<'_, f32>, expected: ArrayView2<'_, f32>) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let error: f64 = found
        .iter()
        .zip(&expected)
        .map(|(f, e)| square(f - e))
        .sum();
    error / expected.iter().copied().map(square).sum::<f64>()
}

#[test]
fn logits_are_those_of_peft() {
    let tiny = Tiny::new();
    let plain = &tiny.logits(&[None])[0];
    for name in ADAPTERS {
        let adapter = tiny.adapter(&format!("{name}.gguf"), 1.0).unwrap();
        let found = &tiny.logits(&[Some(&adapter)])[0];
        let expected = expected(name);
        assert!(
            nmse(plain.view(), expected.view()) > 1e-2,
            "{name} changes the logits"
        );
        let error = nmse(found.view(), expected.view());
        assert!(error < 1e-9, "{name}: {error}");
    }
}

#[test]
fn each_sequence_of_a_batch_has_its_own() {
    let tiny = Tiny::new();
    let adapters = ADAPTERS.map(|name| tiny.adapter(&format!("{name}.gguf"), 1.0).unwrap());
    let mixed = [
        None,
        Some(&adapters[0]),
        Some(&adapters[1]),
        None,
        Some(&adapters[2]),
        Some(&adapters[0]),
    ];
    let together = tiny.logits(&mixed);
    for (adapter, together) in mixed.iter().zip(together) {
        assert_eq!(tiny.logits(&[*adapter])[0], together, "the same bits alone");
    }
}

#[test]
fn adapters_are_scaled_and_added() {
    let tiny = Tiny::new();
    let plain = &tiny.logits(&[None])[0];
    let nothing = tiny.adapter("all.gguf", 0.0).unwrap();
    assert_eq!(&tiny.logits(&[Some(&nothing)])[0], plain);
    let half = tiny.adapter("all.gguf", 0.5).unwrap();
    let twice = Arc::new(Adapter::sum([&*half, &*half]));
    let whole = tiny.adapter("all.gguf", 1.0).unwrap();
    assert_eq!(twice.len(), whole.len());
    assert_ne!(twice.id(), half.id());
    let (found, expected) = (
        &tiny.logits(&[Some(&twice)])[0],
        &tiny.logits(&[Some(&whole)])[0],
    );
    assert!(nmse(found.view(), expected.view()) < 1e-9);
}

#[test]
fn what_does_not_go_with_the_model_is_an_error_that_names_it() {
    let tiny = Tiny::new();
    let file = ModelFile::open(golden("tiny_adapters/all.gguf")).unwrap();
    let read = |architecture| Adapter::read(&file, architecture, &*tiny.model, &tiny.compute, 1.0);
    let error = read("qwen2").unwrap_err().to_string();
    assert!(
        error.contains("all.gguf") && error.contains("expected \"qwen2\""),
        "{error}"
    );

    let other = ModelFile::open(golden("tiny/untied_f32.gguf")).unwrap();
    let other = Registry::default()
        .build(&mut Loader::new(
            &other,
            &tiny.compute,
            LoaderOptions::default(),
        ))
        .unwrap();
    let error = Adapter::read(&file, "llama", &*other, &tiny.compute, 1.0)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("blk.0.") && error.contains("lora_a"),
        "{error}"
    );

    let model = ModelFile::open(golden("tiny/gqa.gguf")).unwrap();
    let error = Adapter::read(&model, "llama", &*tiny.model, &tiny.compute, 1.0).unwrap_err();
    assert!(error.to_string().contains("general.type"), "{error}");
}
