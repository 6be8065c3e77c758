//! The weights of a decoder.

use super::attention::Attention;
use super::feed_forward::FeedForward;
use super::norm::Norm;
use super::rotation::Rotation;
use crate::ModelError;
use crate::arch::{Loader, Spec};
use crate::causal_lm::Config;
use dino_core::Tensor;
use dino_kernels::PackedWeight;

/// A decoder that a [`Spec`] describes.
pub struct Transformer {
    pub(super) spec: Spec,
    pub(super) config: Config,
    pub(super) precise: bool,
    /// `[vocabulary, hidden]`, in the file's own layout; `None` where the head serves for it.
    pub(super) embedding: Option<Tensor>,
    /// The embedding of positions, `[context, hidden]`, where the model learned one.
    pub(super) positions: Option<Tensor>,
    pub(super) rotation: Rotation,
    pub(super) layers: Vec<Layer>,
    /// Of what the head reads.
    pub(super) norm: Norm,
    /// `[vocabulary, hidden]`.
    pub(super) head: PackedWeight,
    /// `[vocabulary]`.
    pub(super) head_bias: Option<Vec<f32>>,
}

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention: Attention,
    pub(super) feed_forward: FeedForward,
}

impl Transformer {
    /// Reads and packs the weights that `spec` describes, under their GGUF names.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape than the spec needs.
    pub fn load(mut spec: Spec, loader: &mut Loader<'_>) -> Result<Self, ModelError> {
        spec.biases = spec.biases.settled(loader.weights());
        spec.qk_norm = spec.qk_norm.settled(loader.weights());
        let vocabulary = loader.vocabulary(spec.vocabulary)?;
        let shape = [vocabulary, spec.hidden];
        let table = loader.weights().expect("token_embd.weight", &shape)?;
        let positions = match spec.learned_positions {
            true => {
                let shape = [spec.context_length, spec.hidden];
                Some(
                    loader
                        .weights()
                        .expect("position_embd.weight", &shape)?
                        .clone(),
                )
            }
            false => None,
        };
        let rotation = Rotation::load(&spec, loader)?;
        let layers = (0..spec.layers.len()).map(|index| Layer::load(&spec, loader, index));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let norm = Norm::load(spec.norm, loader, "output_norm", spec.hidden)?;
        // Without a head of its own, a model uses the embedding table for it.
        let (head, embedding) = match loader.weights().maybe_expect("output.weight", &shape)? {
            Some(head) => (loader.pack(head)?, Some(table.clone())),
            None => (loader.pack(table)?, None),
        };
        let head_bias = loader.bias("output", vocabulary, spec.biases.head)?;
        let config = Config {
            vocabulary,
            context_length: spec.longest_context(loader.context_length()),
            hidden: spec.hidden,
            layers: spec.layers.len(),
            attention_layers: spec.layers.len(),
            states: Vec::new(),
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            parameters: loader.weights().iter().map(Tensor::len).sum(),
        };
        Ok(Self {
            spec,
            config,
            precise: loader.precise(),
            embedding,
            positions,
            rotation,
            layers,
            norm,
            head,
            head_bias,
        })
    }
}

impl Layer {
    fn load(spec: &Spec, loader: &mut Loader<'_>, index: usize) -> Result<Self, ModelError> {
        Ok(Self {
            attention: Attention::load(spec, loader, index)?,
            feed_forward: FeedForward::load(spec, loader, index)?,
        })
    }
}
