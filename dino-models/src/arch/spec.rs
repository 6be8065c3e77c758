//! A decoder, described.

use super::{
    Activation, Bias, Biases, Experts, FeedForward, Matrices, Mixer, Norm, Norms, QkNorm,
    QueryGrowth, RopePairing, RopeScaling, RopeSpec, Window,
};
use crate::ModelError;
use crate::format::Metadata;

/// A transformer decoder that [`crate::transformer::Transformer`] can run.
///
/// [`Spec::decoder`] reads what all of them share; an architecture then says what differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Tokens that the file's vocabulary must hold; `None` where the embedding table decides.
    pub vocabulary: Option<usize>,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Features between layers.
    pub hidden: usize,
    /// What the layers differ in, one for each.
    pub layers: Vec<LayerSpec>,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Values in a query, key or value.
    pub head_dim: usize,
    /// How the file stores its matrices.
    pub matrices: Matrices,
    /// Which linear layers add a bias.
    pub biases: Biases,
    /// The normalisation of rows.
    pub norm: Norm,
    /// Where a layer has one; there is always one before the head.
    pub norms: Norms,
    /// The name of the tensor of the norm before the feed-forward part.
    pub ffn_norm: &'static str,
    /// The name of the tensor of the norm before the head.
    pub output_norm: &'static str,
    /// The normalisation of queries and keys.
    pub qk_norm: QkNorm,
    /// The activation of the feed-forward part.
    pub activation: Activation,
    /// Whether a learned embedding of its position is added to each token's, besides what layers rotate.
    pub learned_positions: bool,
    /// Rotary position embedding.
    pub rope: RopeSpec,
    /// That of layers with a window, where it differs.
    pub window_rope: Option<RopeSpec>,
    /// Whether each query brings a gate for what it gathers (Qiu et al., arXiv:2505.06708).
    pub attention_gate: bool,
    /// Whether each head has a score that takes its part of the softmax and brings nothing (gpt-oss, arXiv:2508.10925).
    pub attention_sinks: bool,
    /// How queries grow with their positions.
    pub query_growth: Option<QueryGrowth>,
    /// What scores are multiplied by.
    pub attention_scale: f32,
    /// `cap * tanh(score / cap)` for scores.
    pub attention_softcap: Option<f32>,
    /// What embeddings are multiplied by.
    pub embedding_scale: Option<f32>,
    /// What each part's result is multiplied by before it is added to the residual stream.
    pub residual_scale: Option<f32>,
    /// What logits are multiplied by.
    pub logit_scale: Option<f32>,
    /// `cap * tanh(logit / cap)` for logits.
    pub logit_softcap: Option<f32>,
}

/// What the layers of a decoder may differ in.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSpec {
    /// How a token learns of those before it.
    pub mixer: Mixer,
    /// How many positions a token sees, itself included; `None` for all.
    pub window: Option<usize>,
    /// Whether queries and keys are rotated to their positions; without, a layer sees the past as a set (Kazemnejad
    /// et al., arXiv:2305.19466).
    pub rotates: bool,
    /// The feed-forward part.
    pub feed_forward: FeedForward,
}

/// More layers than any model has; a file that claims more is damaged.
const MAX_LAYERS: usize = 4096;
/// What a size can be.
pub(super) const SIZES: std::ops::RangeInclusive<usize> = 1..=1 << 31;

impl Spec {
    /// What most decoders share: [`Spec::with_norm`] with RMS norms.
    ///
    /// # Errors
    /// If a key is missing or impossible.
    pub fn decoder(metadata: &Metadata, pairing: RopePairing) -> Result<Self, ModelError> {
        Self::with_norm(metadata, pairing, Norm::rms(metadata)?)
    }

    /// What all decoders share: norms before the parts of a layer, rotary embedding of `pairing`, SwiGLU, no biases.
    ///
    /// # Errors
    /// If a key is missing or impossible.
    pub fn with_norm(
        metadata: &Metadata,
        pairing: RopePairing,
        norm: Norm,
    ) -> Result<Self, ModelError> {
        let mut spec = Self::without_attention(metadata, norm)?;
        let scoped = metadata.scoped()?;
        let layers = spec.layers.len();
        let heads = size(metadata, "attention.head_count")?;
        let kv_heads = kv_heads(metadata, layers)?.unwrap_or_else(|| vec![heads; layers]);
        // Layers with none have no attention: see `mix_without_kv_heads`.
        let most = kv_heads.iter().copied().max().unwrap_or(0);
        let key = scoped.key("attention.head_count_kv");
        for kv_heads in kv_heads {
            let divides = most > 0 && heads.is_multiple_of(most);
            let fits = divides && (kv_heads == most || kv_heads == 0);
            let expected = format!("a divisor of the {heads} query heads, the same in all layers");
            check(metadata, &key, kv_heads, fits, &expected)?;
        }
        let sizes = scoped.per_layer::<usize>("feed_forward_length", layers)?;
        for (layer, size) in spec.layers.iter_mut().zip(sizes) {
            let (key, fits) = (scoped.key("feed_forward_length"), SIZES.contains(&size));
            let size = check(metadata, &key, size, fits, "a positive number below 2^31")?;
            layer.feed_forward = FeedForward::Gated { size };
            layer.mixer = Mixer::Attention;
        }
        (spec.heads, spec.kv_heads) = (heads, most);
        spec.head_dim = Self::head_dim(metadata, spec.hidden, heads)?;
        spec.rope = RopeSpec::read(metadata, spec.head_dim, pairing)?;
        spec.attention_scale = (spec.head_dim as f32).sqrt().recip();
        Ok(spec)
    }

    /// A model of as many layers as the file says, which neither attend nor have a feed-forward part.
    ///
    /// # Errors
    /// If a key is missing or impossible.
    pub fn without_attention(metadata: &Metadata, norm: Norm) -> Result<Self, ModelError> {
        let layers = layer_count(metadata)?;
        let layer = LayerSpec {
            mixer: Mixer::Attention,
            window: None,
            rotates: true,
            feed_forward: FeedForward::Absent,
        };
        let context_length = size(metadata, "context_length")?;
        Ok(Self {
            vocabulary: metadata.scoped()?.maybe("vocab_size")?,
            context_length,
            hidden: size(metadata, "embedding_length")?,
            layers: vec![layer; layers],
            heads: 0,
            kv_heads: 0,
            head_dim: 0,
            matrices: Matrices::Separate,
            biases: Biases::all(Bias::Never),
            norm,
            norms: Norms::Pre,
            ffn_norm: "ffn_norm",
            output_norm: "output_norm",
            qk_norm: QkNorm::None,
            activation: Activation::Silu,
            learned_positions: false,
            rope: RopeSpec::none(context_length),
            window_rope: None,
            attention_gate: false,
            attention_sinks: false,
            query_growth: None,
            attention_scale: 1.0,
            attention_softcap: None,
            embedding_scale: None,
            residual_scale: None,
            logit_scale: None,
            logit_softcap: None,
        })
    }

    /// Gives `mixer` to the layers that `attention.head_count_kv` lists with no heads.
    ///
    /// # Errors
    /// As for [`Spec::with_norm`].
    pub fn mix_without_kv_heads(
        &mut self,
        metadata: &Metadata,
        mixer: Mixer,
    ) -> Result<(), ModelError> {
        let kv_heads = kv_heads(metadata, self.layers.len())?.unwrap_or_default();
        for (layer, kv_heads) in self.layers.iter_mut().zip(kv_heads) {
            if kv_heads == 0 {
                layer.mixer = mixer;
            }
        }
        Ok(())
    }

    /// Gives the layers the window that the file describes; see [`Window::read`].
    ///
    /// # Errors
    /// As for [`Window::read`].
    pub fn read_window(
        &mut self,
        metadata: &Metadata,
        period: Option<usize>,
    ) -> Result<(), ModelError> {
        if let Some(window) = Window::read(metadata, self.layers.len(), period)? {
            for (index, layer) in self.layers.iter_mut().enumerate() {
                layer.window = window.of_layer(index);
            }
        }
        Ok(())
    }

    /// Makes the feed-forward parts of all layers mixtures of experts.
    pub fn with_experts(&mut self, experts: Experts) {
        for layer in &mut self.layers {
            layer.feed_forward = FeedForward::Experts(experts);
        }
    }

    /// Makes the feed-forward parts of all layers mixtures of experts but those of the first
    /// `leading_dense_block_count`.
    ///
    /// # Errors
    /// If there are not so many layers.
    pub fn with_experts_behind(
        &mut self,
        metadata: &Metadata,
        experts: Experts,
    ) -> Result<(), ModelError> {
        const KEY: &str = "leading_dense_block_count";
        let (scoped, layers) = (metadata.scoped()?, self.layers.len());
        let dense = scoped.maybe::<usize>(KEY)?.unwrap_or(0);
        let expected = format!("up to the {layers} layers");
        check(
            metadata,
            &scoped.key(KEY),
            dense,
            dense <= layers,
            &expected,
        )?;
        for layer in &mut self.layers[dense..] {
            layer.feed_forward = FeedForward::Experts(experts);
        }
        Ok(())
    }

    /// Makes the feed-forward parts of all layers plain ones: without a gate.
    pub fn without_gate(&mut self) {
        for layer in &mut self.layers {
            if let FeedForward::Gated { size } = layer.feed_forward {
                layer.feed_forward = FeedForward::Plain { size };
            }
        }
    }

    /// Positions that the model can attend to where `asked` are asked for: a context that is stretched as it is needed
    /// has no other end.
    pub(crate) fn longest_context(&self, asked: Option<usize>) -> usize {
        match (self.rope.scaling, asked) {
            (RopeScaling::Dynamic { .. }, Some(asked)) => asked.max(self.context_length),
            _ => self.context_length,
        }
    }

    /// Lets no layer rotate queries and keys.
    pub fn without_rotation(&mut self) {
        for layer in &mut self.layers {
            layer.rotates = false;
        }
    }

    /// A key of the architecture that holds a positive number, if it is there.
    ///
    /// # Errors
    /// If it holds anything else.
    pub fn positive(metadata: &Metadata, key: &str) -> Result<Option<f32>, ModelError> {
        let scoped = metadata.scoped()?;
        let Some(value) = scoped.maybe::<f32>(key)? else {
            return Ok(None);
        };
        let fits = value.is_normal() && value > 0.0;
        check(metadata, &scoped.key(key), value, fits, "a positive number").map(Some)
    }

    fn head_dim(metadata: &Metadata, hidden: usize, heads: usize) -> Result<usize, ModelError> {
        let scoped = metadata.scoped()?;
        let key = scoped.maybe::<usize>("attention.key_length")?;
        let value = scoped.maybe::<usize>("attention.value_length")?;
        if key.is_none() {
            let fits = hidden.is_multiple_of(heads);
            let expected = format!("a divisor of embedding_length {hidden}");
            check(
                metadata,
                &scoped.key("attention.head_count"),
                heads,
                fits,
                &expected,
            )?;
        }
        let head_dim = key.unwrap_or(hidden / heads);
        let fits = (1..=1024).contains(&head_dim);
        check(
            metadata,
            &scoped.key("attention.key_length"),
            head_dim,
            fits,
            "between 1 and 1024",
        )?;
        let length = value.unwrap_or(head_dim);
        let expected = format!("the same as the keys' {head_dim}");
        let name = scoped.key("attention.value_length");
        check(metadata, &name, length, length == head_dim, &expected)
    }
}

/// How many layers the file says there are.
///
/// # Errors
/// If it does not say so, or says more than any model has: nothing is made for a layer before its tensors are found.
pub(in crate::arch) fn layer_count(metadata: &Metadata) -> Result<usize, ModelError> {
    let layers = size(metadata, "block_count")?;
    let (key, fits) = (metadata.scoped()?.key("block_count"), layers <= MAX_LAYERS);
    check(
        metadata,
        &key,
        layers,
        fits,
        "a number of layers up to 4096",
    )?;
    Ok(layers)
}

/// A key of the architecture that holds a positive number below 2^31.
pub(crate) fn size(metadata: &Metadata, key: &str) -> Result<usize, ModelError> {
    let scoped = metadata.scoped()?;
    let value = scoped.get::<usize>(key)?;
    let (key, fits) = (scoped.key(key), SIZES.contains(&value));
    check(metadata, &key, value, fits, "a positive number below 2^31")
}

/// Key/value heads of each layer, if the file says.
fn kv_heads(metadata: &Metadata, layers: usize) -> Result<Option<Vec<usize>>, ModelError> {
    let scoped = metadata.scoped()?;
    Ok(scoped.maybe_per_layer("attention.head_count_kv", layers)?)
}

/// `value` if it `fits`, else an error that says what was expected.
pub(crate) fn check<T: ToString>(
    metadata: &Metadata,
    key: &str,
    value: T,
    fits: bool,
    expected: &str,
) -> Result<T, ModelError> {
    if fits {
        return Ok(value);
    }
    Err(ModelError::Impossible {
        file: metadata.file().to_owned(),
        key: key.to_owned(),
        found: value.to_string(),
        expected: expected.to_owned(),
    })
}
