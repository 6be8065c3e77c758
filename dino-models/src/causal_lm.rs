//! What every language model can do.

use crate::{Batch, Cache, ExpertStats, ModelError};
use dino_kernels::{Compute, KvLayout, KvTypes};
use ndarray::ArrayView2;
use std::any::Any;

/// Sizes of a model that its users need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Tokens in the vocabulary: columns of the logits.
    pub vocabulary: usize,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Features of a token between layers.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Layers with attention: only these have keys and values in the cache.
    pub attention_layers: usize,
    /// Sizes, in values, of the states that each sequence has in the cache beside keys and values: what recurrent and
    /// convolutional layers remember. A layer may have several; a pure decoder has none.
    pub states: Vec<usize>,
    /// Key/value heads of a layer.
    pub kv_heads: usize,
    /// Values in a key or value.
    pub head_dim: usize,
    /// Weights, the embedding table counted once.
    pub parameters: usize,
}

impl Config {
    /// An empty cache for the model, of at most `limit` pages; a [`KvType`](dino_kernels::KvType) stands for both types.
    pub fn new_cache(&self, types: impl Into<KvTypes>, limit: Option<usize>) -> Cache {
        Cache::new(self.kv_layout(types), limit).with_states(self.states.clone())
    }

    /// Whether a sequence can forget its last positions and keep the others; a recurrent state cannot.
    pub fn can_rewind(&self) -> bool {
        self.states.is_empty()
    }

    /// The shape of the pages of keys and values.
    pub fn kv_layout(&self, types: impl Into<KvTypes>) -> KvLayout {
        let Self {
            attention_layers,
            kv_heads,
            head_dim,
            ..
        } = *self;
        KvLayout {
            layers: attention_layers,
            kv_heads,
            head_dim,
            types: types.into(),
        }
    }
}

/// A causal language model: tokens in, logits of the next token out.
pub trait CausalLm: Send + Sync {
    /// Its sizes.
    fn config(&self) -> &Config;

    /// The shape, `[out_features, in_features]`, of the linear layer whose weight is called `name`, if there is one that
    /// runs with the [adapters](crate::Adapter) of a batch. By default there is none.
    fn linear_shape(&self, name: &str) -> Option<[usize; 2]> {
        let _ = name;
        None
    }

    /// Bytes that a streamed model leaves of its budget to keys and values; `None` for one that is not streamed.
    fn cache_room(&self) -> Option<usize> {
        None
    }

    /// How often experts were in memory when they were wanted, where only some of them are.
    fn expert_stats(&self) -> Option<ExpertStats> {
        None
    }

    /// Runs the tokens of `batch` behind what `cache` holds of their sequences, appends them to it, and leaves
    /// the wanted logits in `scratch`.
    ///
    /// # Errors
    /// If a token or sequence does not exist or the cache is full; then the sequences are as long as before.
    fn forward(
        &self,
        compute: &Compute,
        batch: &Batch,
        cache: &mut Cache,
        scratch: &mut Scratch,
    ) -> Result<(), ModelError>;

    /// As [`Self::forward`], but gives the wanted rows as they are before the head, after the last norm, `[wanted rows,
    /// hidden]`: what vectors of texts are made of.
    ///
    /// # Errors
    /// As those of [`Self::forward`]; [`ModelError::NoHidden`] where a model does not give them, which is the default.
    fn hidden<'s>(
        &self,
        compute: &Compute,
        batch: &Batch,
        cache: &mut Cache,
        scratch: &'s mut Scratch,
    ) -> Result<ArrayView2<'s, f32>, ModelError> {
        let _ = (compute, batch, cache, scratch);
        Err(ModelError::NoHidden)
    }
}

/// What a forward pass works in and leaves behind; reused from call to call, so that its large buffers are allocated once.
#[derive(Default)]
pub struct Scratch {
    logits: Vec<f32>,
    rows: usize,
    state: Option<Box<dyn Any + Send>>,
}

impl Scratch {
    /// An empty scratch, which grows to what a model needs.
    pub fn new() -> Self {
        Self::default()
    }

    /// The logits of the last forward pass, `[wanted rows, vocabulary]`.
    pub fn logits(&self) -> ArrayView2<'_, f32> {
        let columns = self.logits.len().checked_div(self.rows).unwrap_or(0);
        ArrayView2::from_shape((self.rows, columns), &self.logits)
            .unwrap_or_else(|_| ArrayView2::from_shape((0, 0), &[]).expect("an empty view"))
    }

    /// The logits of one wanted row, to be changed in place.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn logits_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {} wanted ones", self.rows);
        let columns = self.logits.len() / self.rows;
        &mut self.logits[row * columns..(row + 1) * columns]
    }

    /// The logits of all wanted rows, `[vocabulary]` each, in their order, to be changed in place.
    pub fn rows_mut(&mut self) -> impl ExactSizeIterator<Item = &mut [f32]> {
        let columns = self.logits.len().checked_div(self.rows).unwrap_or(0);
        self.logits.chunks_exact_mut(columns.max(1))
    }

    /// For models: the buffers of type `S` that the model keeps here, and the logits resized to
    /// `[rows, vocabulary]`.
    pub fn prepare<S: Default + Send + 'static>(
        &mut self,
        rows: usize,
        vocabulary: usize,
    ) -> (&mut S, &mut [f32]) {
        self.rows = rows;
        self.logits.resize(rows * vocabulary, 0.0);
        if !self.state.as_ref().is_some_and(|state| state.is::<S>()) {
            self.state = Some(Box::<S>::default());
        }
        let state = self.state.as_mut().and_then(|state| state.downcast_mut());
        (
            state.expect("the type was just made sure of"),
            &mut self.logits,
        )
    }
}
