//! Loads tiny models and runs a few tokens.

use dino_kernels::{Compute, KvType};
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::format::ModelFile;
use dino_models::packed_file::PackedCache;
use dino_models::{Batch, Scratch, Wanted};
use std::path::{Path, PathBuf};

pub(crate) fn tiny(name: &str) -> PathBuf {
    golden(&format!("tiny/{name}.gguf"))
}

pub(crate) fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden")
        .join(path)
}

/// Logits after a few tokens, and what became of the packed file.
pub(crate) fn run(model: &Path, options: LoaderOptions) -> (Vec<f32>, PackedCache) {
    let file = ModelFile::open(model).unwrap();
    let compute = Compute::new(2).unwrap();
    let mut loader = Loader::new(&file, &compute, options);
    let model = Registry::default().build(&mut loader).unwrap();
    let packed = loader.finish_packed();
    let mut cache = model.config().new_cache(KvType::F16, None);
    let mut batch = Batch::default();
    batch.push(cache.add(), &[1, 2, 3, 5, 8], Wanted::All);
    let mut scratch = Scratch::new();
    model
        .forward(&compute, &batch, &mut cache, &mut scratch)
        .unwrap();
    (scratch.logits().iter().copied().collect(), packed)
}

pub(crate) fn with_cache(path: &Path) -> LoaderOptions {
    LoaderOptions {
        packed_cache: Some(path.to_owned()),
        ..LoaderOptions::default()
    }
}
