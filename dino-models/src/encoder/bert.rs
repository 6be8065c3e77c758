//! BERT and its kin: what their files say, and their weights.
//!
//! Devlin et al., arXiv:1810.04805; RoBERTa: arXiv:1907.11692; Nomic Embed: arXiv:2402.01613. References: `BertModel`,
//! `RobertaModel`, `XLMRobertaModel` and `NomicBertModel` of `transformers`.

use super::modules::{MAX_TOKENS, NORMALIZE};
use super::{EncoderConfig, Pooling};
use crate::ModelError;
use crate::arch::{Bias, Linear, Loader, Norm, RopePairing, RopeSpec, check, size};
use crate::format::Metadata;
use crate::transformer::Norm as NormWeights;
use dino_core::Tensor;
use dino_kernels::Activation;
use dino_kernels::ops::RopeFrequencies;

/// An encoder of BERT's kin, described.
#[derive(Clone, Debug, PartialEq)]
pub struct BertSpec {
    /// Tokens that a text may have.
    pub context_length: usize,
    /// Features of a token.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Heads.
    pub heads: usize,
    /// Features inside the feed-forward part.
    pub feed_forward: usize,
    /// The norm behind the embeddings and behind each part.
    pub norm: Norm,
    /// The activation of the feed-forward part, and whether it is that of a gate.
    pub activation: (Activation, bool),
    /// Rotary position embedding; without one, positions are learned.
    pub rope: Option<RopeSpec>,
    /// Whether linear layers add a bias.
    pub bias: Bias,
    /// How a text's features are made.
    pub pooling: Option<Pooling>,
}

impl BertSpec {
    /// Reads the keys of the architecture that the file names.
    ///
    /// # Errors
    /// If a key is missing, impossible or not supported.
    pub fn read(metadata: &Metadata) -> Result<Self, ModelError> {
        let scoped = metadata.scoped()?;
        let is_nomic = metadata.architecture()? == "nomic-bert";
        let (hidden, heads) = (
            size(metadata, "embedding_length")?,
            size(metadata, "attention.head_count")?,
        );
        let (key, fits) = (
            scoped.key("attention.head_count"),
            hidden.is_multiple_of(heads),
        );
        let expected = format!("a divisor of embedding_length {hidden}");
        check(metadata, &key, heads, fits, &expected)?;
        for key in ["attention.key_length", "attention.value_length"] {
            let length = scoped.maybe::<usize>(key)?.unwrap_or(hidden / heads);
            let fits = length == hidden / heads;
            let expected = format!("{}", hidden / heads);
            check(metadata, &scoped.key(key), length, fits, &expected)?;
        }
        let causal = scoped.maybe::<bool>("attention.causal")?.unwrap_or(false);
        check(
            metadata,
            &scoped.key("attention.causal"),
            causal,
            !causal,
            "false",
        )?;
        let layers = size(metadata, "block_count")?;
        let (key, fits) = (scoped.key("block_count"), layers <= 4096);
        check(
            metadata,
            &key,
            layers,
            fits,
            "a number of layers up to 4096",
        )?;
        let rope = is_nomic
            .then(|| RopeSpec::read(metadata, hidden / heads, RopePairing::Halves))
            .transpose()?;
        Ok(Self {
            context_length: size(metadata, "context_length")?,
            hidden,
            layers,
            heads,
            feed_forward: size(metadata, "feed_forward_length")?,
            norm: Norm::layer(metadata, true)?,
            activation: match is_nomic {
                true => (Activation::Silu, true),
                false => (Activation::GeluErf, false),
            },
            rope,
            bias: match is_nomic {
                true => Bias::Never,
                false => Bias::Always,
            },
            pooling: Pooling::read(metadata)?,
        })
    }
}

/// An encoder of BERT's kin.
pub struct Bert {
    pub(super) spec: BertSpec,
    pub(super) config: EncoderConfig,
    pub(super) precise: bool,
    /// `[vocabulary, hidden]`.
    pub(super) embedding: Tensor,
    /// `[context, hidden]`.
    pub(super) positions: Option<Tensor>,
    /// Added to every token, `[hidden]`: that it is of the first of two texts.
    pub(super) kind: Option<Vec<f32>>,
    pub(super) rope: Option<RopeFrequencies>,
    pub(super) norm: NormWeights,
    pub(super) layers: Vec<Layer>,
}

/// The weights of one layer.
pub(super) struct Layer {
    /// Queries, keys and values.
    pub(super) inputs: [Linear; 3],
    pub(super) output: Linear,
    /// Of the sum of what attention read and what it gave.
    pub(super) attention_norm: NormWeights,
    pub(super) gate: Option<Linear>,
    pub(super) up: Linear,
    pub(super) down: Linear,
    /// Of the sum of what the feed-forward part read and what it gave.
    pub(super) norm: NormWeights,
}

impl Bert {
    /// Reads and packs the weights that `spec` describes, under their GGUF names.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape.
    pub fn load(spec: BertSpec, loader: &mut Loader<'_>) -> Result<Self, ModelError> {
        let expected = loader.metadata().scoped()?.maybe("vocab_size")?;
        let vocabulary = loader.vocabulary(expected)?;
        let weights = loader.weights();
        let table = |name: &str, rows: usize| weights.expect(name, &[rows, spec.hidden]);
        let embedding = table("token_embd.weight", vocabulary)?.clone();
        let positions = match spec.rope {
            None => Some(table("position_embd.weight", spec.context_length)?.clone()),
            Some(_) => None,
        };
        let kind = first_kind(&spec, loader)?;
        let norm = NormWeights::load(spec.norm, loader, "token_embd_norm", spec.hidden)?;
        let layers = (0..spec.layers).map(|index| Layer::load(&spec, loader, index));
        let layers = layers.collect::<Result<_, _>>()?;
        let rope = spec.rope.as_ref();
        let metadata = loader.metadata();
        let cut = metadata.maybe(MAX_TOKENS)?.unwrap_or(usize::MAX);
        Ok(Self {
            config: EncoderConfig {
                vocabulary,
                context_length: spec.context_length.min(cut),
                hidden: spec.hidden,
                layers: spec.layers,
                pooling: spec.pooling,
                normalize: metadata.maybe(NORMALIZE)?,
                parameters: loader.weights().infos().map(|info| info.values()).sum(),
            },
            precise: loader.precise(),
            rope: rope.map(|rope| rope.frequencies(None, spec.context_length)),
            embedding,
            positions,
            kind,
            norm,
            layers,
            spec,
        })
    }
}

/// The embedding of a token's kind, of which a text alone has the first.
fn first_kind(spec: &BertSpec, loader: &mut Loader<'_>) -> Result<Option<Vec<f32>>, ModelError> {
    let name = "token_types.weight";
    let expected = loader.metadata().scoped()?.maybe("type_vocab_size")?;
    if !loader.weights().contains(name) {
        return Ok(None);
    }
    let kinds = match expected {
        Some(kinds) => kinds,
        None => loader.weights().get(name)?.rows(),
    };
    let mut values = loader.values(name, &[kinds, spec.hidden])?;
    values.truncate(spec.hidden);
    Ok((!values.is_empty()).then_some(values))
}

impl Layer {
    fn load(spec: &BertSpec, loader: &mut Loader<'_>, index: usize) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let (hidden, inner, bias) = (spec.hidden, spec.feed_forward, spec.bias);
        let fused = loader.weights().contains(&name("attn_qkv.weight"));
        let inputs = match fused {
            true => loader.fused(&name("attn_qkv"), [hidden; 3], hidden, bias)?,
            false => [
                loader.linear(&name("attn_q"), [hidden; 2], bias)?,
                loader.linear(&name("attn_k"), [hidden; 2], bias)?,
                loader.linear(&name("attn_v"), [hidden; 2], bias)?,
            ],
        };
        let gated = spec.activation.1;
        let gate = gated.then(|| loader.linear(&name("ffn_gate"), [inner, hidden], bias));
        let gate = gate.transpose()?;
        let mut norm = |part| NormWeights::load(spec.norm, loader, &name(part), hidden);
        let (attention_norm, norm) = (norm("attn_output_norm")?, norm("layer_output_norm")?);
        Ok(Self {
            inputs,
            output: loader.linear(&name("attn_output"), [hidden; 2], bias)?,
            attention_norm,
            gate,
            up: loader.linear(&name("ffn_up"), [inner, hidden], bias)?,
            down: loader.linear(&name("ffn_down"), [hidden, inner], bias)?,
            norm,
        })
    }
}
