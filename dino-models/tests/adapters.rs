//! Adapters: what peft computes with them, alone and beside others in one batch.

use dino_kernels::{Compute, KvType, KvTypes};
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::format::ModelFile;
use dino_models::{Adapter, AdapterBase, Batch, CausalLm, ModelError, Scratch, Wanted};
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
    file: ModelFile,
    registry: Registry,
    model: Box<dyn CausalLm>,
    compute: Compute,
    ids: Vec<u32>,
}

impl Tiny {
    fn new() -> Self {
        Self::load("tiny", "gqa", "gqa.gguf")
    }

    /// The model `path` of `folder`, with the ids that its index has for `name`.
    fn load(folder: &str, name: &str, path: &str) -> Self {
        let registry = Registry::default();
        let file = registry.open(golden(&format!("{folder}/{path}"))).unwrap();
        let compute = Compute::new(2).unwrap();
        let options = LoaderOptions {
            precise: true,
            ..LoaderOptions::default()
        };
        let model = registry
            .build(&mut Loader::new(&file, &compute, options))
            .unwrap();
        let index = std::fs::read_to_string(golden(&format!("{folder}/index.json"))).unwrap();
        let index: Vec<serde_json::Value> = serde_json::from_str(&index).unwrap();
        let entry = index.iter().find(|entry| entry["name"] == name).unwrap();
        let ids = serde_json::from_value(entry["ids"].clone()).unwrap();
        Self {
            file,
            registry,
            model,
            compute,
            ids,
        }
    }

    fn adapter(&self, path: &str, scale: f32) -> Result<Arc<Adapter>, ModelError> {
        self.open(&golden(&format!("tiny_adapters/{path}")), scale)
    }

    fn open(&self, path: &Path, scale: f32) -> Result<Arc<Adapter>, ModelError> {
        let base = AdapterBase {
            metadata: &self.file.metadata,
            model: &*self.model,
            registry: &self.registry,
            compute: &self.compute,
        };
        Adapter::open(path, &base, scale).map(Arc::new)
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
    for path in ADAPTERS
        .map(|name| [name.to_owned(), format!("{name}.gguf")])
        .as_flattened()
    {
        let name = path.trim_end_matches(".gguf");
        let adapter = tiny.adapter(path, 1.0).unwrap();
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
fn folders_of_peft_go_with_files_and_folders_of_each_layout() {
    let known: Vec<_> = std::fs::read_dir(golden("tiny_adapters/on"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    assert!(known.len() > 5);
    for folder in known {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let expected = expected(&format!("on/{name}"));
        for path in [name.to_owned(), format!("{name}.gguf")] {
            let base = Tiny::load("tiny_architectures", name, &path);
            let plain = &base.logits(&[None])[0];
            assert!(nmse(plain.view(), expected.view()) > 1e-2, "{path}");
            let adapter = base.open(&folder, 1.0).unwrap();
            let found = &base.logits(&[Some(&adapter)])[0];
            let error = nmse(found.view(), expected.view());
            assert!(error < 1e-9, "{path}: {error}");
        }
    }
}

/// A copy of PEFT's folder `all`, changed: its configuration by `key` and `value`, its tensors by `tensors`.
struct Changed(tempfile::TempDir);

impl Changed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            let from = golden("tiny_adapters/all").join(name);
            std::fs::copy(from, folder.path().join(name)).unwrap();
        }
        Self(folder)
    }

    fn set(self, key: &str, value: serde_json::Value) -> Self {
        let path = self.0.path().join("adapter_config.json");
        let mut config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config[key] = value;
        std::fs::write(path, config.to_string()).unwrap();
        self
    }

    /// Replaces `old` in the file of tensors, whose header has room for it.
    fn rename(self, old: &str, new: &str) -> Self {
        let path = self.0.path().join("adapter_model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(old.len(), new.len());
        let at = bytes
            .windows(old.len())
            .position(|window| window == old.as_bytes())
            .unwrap();
        bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
        std::fs::write(path, bytes).unwrap();
        self
    }

    fn refused(&self, tiny: &Tiny) -> String {
        tiny.open(self.0.path(), 1.0).unwrap_err().to_string()
    }
}

#[test]
fn what_a_folder_asks_for_beyond_low_ranks_is_named() {
    use serde_json::json;
    let tiny = Tiny::new();
    for (key, value, named) in [
        ("use_dora", json!(true), "use_dora = true"),
        (
            "modules_to_save",
            json!(["lm_head"]),
            "modules_to_save = [\"lm_head\"]",
        ),
        ("bias", json!("all"), "bias = \"all\""),
        ("lora_bias", json!(true), "lora_bias"),
        ("peft_type", json!("IA3"), "peft_type = \"IA3\""),
        (
            "init_lora_weights",
            json!("pissa_niter_4"),
            "init_lora_weights",
        ),
        (
            "layer_replication",
            json!([[0, 2], [1, 2]]),
            "layer_replication",
        ),
        ("target_parameters", json!(["experts"]), "target_parameters"),
        ("of_a_later_version", json!({"on": 1}), "of_a_later_version"),
        ("r", json!(0), "the key `r` holds 0"),
        ("r", json!("2"), "the key `r`"),
        ("r", json!(1_000_000_000_000_u64), "the key `r`"),
        ("lora_alpha", json!([1]), "lora_alpha"),
        ("rank_pattern", json!([1]), "rank_pattern"),
        ("rank_pattern", json!({"q_proj": -1}), "rank_pattern.q_proj"),
        ("alpha_pattern", json!({"(": 1}), "alpha_pattern"),
        (
            "alpha_pattern",
            json!({"((a{999}){999}){999}": 1}),
            "alpha_pattern",
        ),
        // The tensors are of another rank.
        ("r", json!(3), "_proj.lora_A.weight"),
    ] {
        let says = Changed::new().set(key, value.clone()).refused(&tiny);
        assert!(
            says.contains(named) && says.contains("adapter_"),
            "{key} {value}: {says}"
        );
    }
    // What is off asks for nothing.
    let off = Changed::new().set("of_a_later_version", json!({"a": false, "b": []}));
    assert!(tiny.open(off.0.path(), 1.0).is_ok());
}

#[test]
fn what_a_folder_lacks_or_has_too_much_is_named() {
    let tiny = Tiny::new();
    let says = Changed::new()
        .rename("0.mlp.up_proj.lora_A", "0.mlp.up_prof.lora_A")
        .refused(&tiny);
    assert!(says.contains("up_prof"), "{says}");
    let says = Changed::new()
        .rename("up_proj.lora_B.weight", "up_proj.lora_C.weight")
        .refused(&tiny);
    assert!(says.contains("up_proj.lora_B.weight"), "{says}");
    let says = Changed::new()
        .rename("model.layers.0.mlp.up_proj", "model.layers.7.mlp.up_proj")
        .refused(&tiny);
    assert!(says.contains("layers.7.mlp.up_proj"), "{says}");

    let folder = Changed::new();
    let tensors = folder.0.path().join("adapter_model.safetensors");
    let whole = std::fs::read(&tensors).unwrap();
    for end in [0, 7, 8, 100, whole.len() - 1] {
        std::fs::write(&tensors, &whole[..end]).unwrap();
        assert!(
            folder.refused(&tiny).contains("adapter_model.safetensors"),
            "{end}"
        );
    }
    std::fs::remove_file(&tensors).unwrap();
    let says = folder.refused(&tiny);
    assert!(says.contains("adapter_model.safetensors"), "{says}");
    std::fs::write(folder.0.path().join("adapter_config.json"), "[").unwrap();
    assert!(folder.refused(&tiny).contains("adapter_config.json"));

    // Of a model of other sizes.
    let other = Tiny::load("tiny_architectures", "qwen3", "qwen3");
    let says = other.adapter("all", 1.0).unwrap_err().to_string();
    assert!(says.contains("shape"), "{says}");
}

#[test]
fn what_does_not_go_with_the_model_is_an_error_that_names_it() {
    let tiny = Tiny::new();
    let qwen = Tiny::load("tiny_architectures", "qwen2", "qwen2.gguf");
    let error = qwen.adapter("all.gguf", 1.0).unwrap_err().to_string();
    assert!(
        error.contains("all.gguf") && error.contains("expected \"qwen2\""),
        "{error}"
    );

    let other = Tiny::load("tiny", "untied_f32", "untied_f32.gguf");
    let error = other.adapter("all.gguf", 1.0).unwrap_err().to_string();
    assert!(
        error.contains("blk.0.") && error.contains("lora_a"),
        "{error}"
    );

    let error = tiny.open(&golden("tiny/gqa.gguf"), 1.0).unwrap_err();
    assert!(error.to_string().contains("general.type"), "{error}");
}
