//! The tiny models of `tests/golden/tiny`, and short ways to run them.

use dino_kernels::{Compute, KvType};
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::format::ModelFile;
use dino_models::{Batch, Cache, CausalLm, ModelError, Scratch, SequenceId, Wanted};
use ndarray::Array2;
use std::path::PathBuf;

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/tiny")
        .join(name)
}

pub(crate) fn open(name: &str) -> ModelFile {
    Registry::default().open(path(name)).unwrap()
}

pub(crate) fn build(file: &ModelFile, precise: bool) -> Result<Box<dyn CausalLm>, ModelError> {
    build_for(file, precise, None)
}

/// The model for a context of `context_length`.
pub(crate) fn build_for(
    file: &ModelFile,
    precise: bool,
    context_length: Option<usize>,
) -> Result<Box<dyn CausalLm>, ModelError> {
    build_with(file, &Compute::new(2).unwrap(), precise, context_length)
}

pub(crate) fn build_with(
    file: &ModelFile,
    compute: &Compute,
    precise: bool,
    context_length: Option<usize>,
) -> Result<Box<dyn CausalLm>, ModelError> {
    let options = LoaderOptions {
        precise,
        context_length,
        ..LoaderOptions::default()
    };
    Registry::default().build(&mut Loader::new(file, compute, options))
}

/// A model with a cache of its own.
pub(crate) struct Runner {
    pub(crate) model: Box<dyn CausalLm>,
    pub(crate) compute: Compute,
    pub(crate) cache: Cache,
    pub(crate) scratch: Scratch,
}

impl Runner {
    pub(crate) fn new(name: &str, precise: bool, threads: usize) -> Self {
        Self::with(build(&open(name), precise).unwrap(), threads)
    }

    pub(crate) fn with(model: Box<dyn CausalLm>, threads: usize) -> Self {
        let cache = model.config().new_cache(KvType::F32, None);
        let compute = Compute::new(threads).unwrap();
        Self {
            model,
            compute,
            cache,
            scratch: Scratch::new(),
        }
    }

    pub(crate) fn run(&mut self, batch: &Batch) -> Array2<f32> {
        let Self {
            model,
            compute,
            cache,
            scratch,
        } = self;
        model.forward(compute, batch, cache, scratch).unwrap();
        scratch.logits().to_owned()
    }

    /// All logits of `tokens`, which continue `sequence` in chunks of `chunk`.
    pub(crate) fn chunks(
        &mut self,
        sequence: SequenceId,
        tokens: &[u32],
        chunk: usize,
    ) -> Array2<f32> {
        let mut logits = Array2::zeros((0, self.model.config().vocabulary));
        for tokens in tokens.chunks(chunk) {
            let mut batch = Batch::default();
            batch.push(sequence, tokens, Wanted::All);
            logits
                .append(ndarray::Axis(0), self.run(&batch).view())
                .unwrap();
        }
        logits
    }
}

/// Repeatable tokens of a vocabulary.
pub(crate) fn tokens(count: usize, vocabulary: usize, seed: u64) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize % vocabulary) as u32
    };
    (0..count).map(|_| next()).collect()
}
