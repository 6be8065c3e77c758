//! The weights of a decoder.

use crate::ModelError;
use crate::arch::{Linear, Loader, Matrices, Norm, Norms, QkNorm, Spec};
use crate::causal_lm::Config;
use crate::format::Metadata;
use dino_core::Tensor;
use dino_kernels::PackedWeight;
use dino_kernels::ops::RopeFrequencies;

/// A decoder that a [`Spec`] describes.
pub struct Transformer {
    pub(super) spec: Spec,
    pub(super) config: Config,
    pub(super) precise: bool,
    /// `[vocabulary, hidden]`, in the file's own layout; `None` where the head serves for it.
    pub(super) embedding: Option<Tensor>,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    /// `[vocabulary, hidden]`.
    pub(super) head: PackedWeight,
    pub(super) rope: RopeFrequencies,
    /// That of layers with a window, where it differs.
    pub(super) window_rope: Option<RopeFrequencies>,
}

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norms: NormWeights,
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) qk_norm: Option<QkNormWeights>,
    pub(super) output: Linear,
    pub(super) feed_forward_norms: NormWeights,
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// The weights of a part's norms, `[hidden]` each.
#[derive(Debug)]
pub(super) struct NormWeights {
    /// Of what the part reads.
    pub(super) before: Option<Vec<f32>>,
    /// Of what it adds to the residual stream.
    pub(super) after: Option<Vec<f32>>,
}

/// The weights of a query's and a key's norm, as long as what is normalised at once.
#[derive(Debug)]
pub(super) struct QkNormWeights {
    pub(super) query: Vec<f32>,
    pub(super) key: Vec<f32>,
}

impl Transformer {
    /// Reads and packs the weights that `spec` describes, under their GGUF names.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape than the spec needs.
    pub fn load(spec: Spec, loader: &mut Loader<'_>) -> Result<Self, ModelError> {
        let vocabulary = loader.vocabulary(spec.vocabulary)?;
        let Norm::Rms { .. } = spec.norm;
        let shape = [vocabulary, spec.hidden];
        let table = loader.weights().expect("token_embd.weight", &shape)?;
        let factors = loader.maybe_vector("rope_freqs.weight", spec.rope.dim / 2)?;
        check_factors(loader.metadata(), factors.as_deref())?;
        let rope = spec.rope.frequencies(factors.as_deref());
        let window_rope = spec.window_rope.map(|rope| rope.frequencies(None));
        let layers = (0..spec.layers).map(|index| Layer::load(&spec, loader, index));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let norm = loader.vector("output_norm.weight", spec.hidden)?;
        // Without a head of its own, a model uses the embedding table for it.
        let (head, embedding) = match loader.weights().maybe_expect("output.weight", &shape)? {
            Some(head) => (loader.pack(head)?, Some(table.clone())),
            None => (loader.pack(table)?, None),
        };
        let weights = loader.weights().iter().map(Tensor::len).sum();
        let config = Config {
            vocabulary,
            context_length: spec.context_length,
            hidden: spec.hidden,
            layers: spec.layers,
            attention_layers: spec.layers,
            states: Vec::new(),
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            parameters: weights,
        };
        let precise = loader.precise();
        Ok(Self {
            spec,
            config,
            precise,
            embedding,
            layers,
            norm,
            head,
            rope,
            window_rope,
        })
    }
}

impl Layer {
    fn load(spec: &Spec, loader: &mut Loader<'_>, index: usize) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let hidden = spec.hidden;
        let queries = spec.heads * spec.head_dim;
        let keys = spec.kv_heads * spec.head_dim;
        let ([query, key, value], [gate, up]) = match spec.matrices {
            Matrices::Separate => (
                [
                    loader.linear(&name("attn_q"), queries, hidden)?,
                    loader.linear(&name("attn_k"), keys, hidden)?,
                    loader.linear(&name("attn_v"), keys, hidden)?,
                ],
                [
                    loader.linear(&name("ffn_gate"), spec.feed_forward, hidden)?,
                    loader.linear(&name("ffn_up"), spec.feed_forward, hidden)?,
                ],
            ),
            Matrices::Fused => (
                loader.fused(&name("attn_qkv"), [queries, keys, keys], hidden)?,
                loader.fused(&name("ffn_up"), [spec.feed_forward; 2], hidden)?,
            ),
        };
        Ok(Self {
            attention_norms: NormWeights::load(
                spec,
                loader,
                &name("attn_norm"),
                &name("post_attention_norm"),
            )?,
            query,
            key,
            value,
            qk_norm: QkNormWeights::load(spec, loader, index)?,
            output: loader.linear(&name("attn_output"), hidden, queries)?,
            feed_forward_norms: NormWeights::load(
                spec,
                loader,
                &name("ffn_norm"),
                &name("post_ffw_norm"),
            )?,
            gate,
            up,
            down: loader.linear(&name("ffn_down"), hidden, spec.feed_forward)?,
        })
    }
}

impl NormWeights {
    fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        before: &str,
        after: &str,
    ) -> Result<Self, ModelError> {
        let mut vector = |name| loader.vector(&format!("{name}.weight"), spec.hidden);
        Ok(match spec.norms {
            Norms::Pre => Self {
                before: Some(vector(before)?),
                after: None,
            },
            Norms::Post => Self {
                before: None,
                after: Some(vector(after)?),
            },
            Norms::Sandwich => Self {
                before: Some(vector(before)?),
                after: Some(vector(after)?),
            },
        })
    }
}

impl QkNormWeights {
    fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        layer: usize,
    ) -> Result<Option<Self>, ModelError> {
        let (query, key) = match spec.qk_norm {
            QkNorm::None => return Ok(None),
            QkNorm::Heads => (spec.head_dim, spec.head_dim),
            QkNorm::Rows => (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim),
        };
        Ok(Some(Self {
            query: loader.vector(&format!("blk.{layer}.attn_q_norm.weight"), query)?,
            key: loader.vector(&format!("blk.{layer}.attn_k_norm.weight"), key)?,
        }))
    }
}

/// A factor divides a frequency, so it must be a positive number.
fn check_factors(metadata: &Metadata, factors: Option<&[f32]>) -> Result<(), ModelError> {
    let bad = factors
        .unwrap_or_default()
        .iter()
        .find(|f| !(f.is_finite() && **f > 0.0));
    match bad {
        None => Ok(()),
        Some(factor) => Err(ModelError::Impossible {
            file: metadata.file().to_owned(),
            key: "tensor rope_freqs.weight".into(),
            found: factor.to_string(),
            expected: "positive numbers".into(),
        }),
    }
}
