//! A decoder, described.

use super::{
    Activation, Bias, Biases, Experts, FeedForward, Matrices, Norm, Norms, QkNorm, RopePairing,
    RopeScaling, RopeSpec, Window,
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
const SIZES: std::ops::RangeInclusive<usize> = 1..=1 << 31;

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
        let scoped = metadata.scoped()?;
        let positive = |key: &str| size(metadata, key);
        let hidden = positive("embedding_length")?;
        let layers = positive("block_count")?;
        let expected = "a number of layers up to 4096";
        check(
            metadata,
            &scoped.key("block_count"),
            layers,
            layers <= MAX_LAYERS,
            expected,
        )?;
        let (heads, kv_heads) = Self::heads(metadata)?;
        let head_dim = Self::head_dim(metadata, hidden, heads)?;
        Ok(Self {
            vocabulary: scoped.maybe("vocab_size")?,
            context_length: positive("context_length")?,
            hidden,
            layers: Self::layers(metadata, layers)?,
            heads,
            kv_heads,
            head_dim,
            matrices: Matrices::Separate,
            biases: Biases::all(Bias::Never),
            norm,
            norms: Norms::Pre,
            qk_norm: QkNorm::None,
            activation: Activation::Silu,
            learned_positions: false,
            rope: RopeSpec::read(metadata, head_dim, pairing)?,
            window_rope: None,
            attention_scale: (head_dim as f32).sqrt().recip(),
            attention_softcap: None,
            embedding_scale: None,
            residual_scale: None,
            logit_scale: None,
            logit_softcap: None,
        })
    }

    /// Query heads, and those of keys and values.
    fn heads(metadata: &Metadata) -> Result<(usize, usize), ModelError> {
        let scoped = metadata.scoped()?;
        let heads = size(metadata, "attention.head_count")?;
        let kv_heads = match scoped.maybe::<usize>("attention.head_count_kv")? {
            None => heads,
            Some(kv_heads) => kv_heads,
        };
        let divides = kv_heads > 0 && heads.is_multiple_of(kv_heads);
        let expected = format!("a divisor of the {heads} query heads");
        check(
            metadata,
            &scoped.key("attention.head_count_kv"),
            kv_heads,
            divides,
            &expected,
        )?;
        Ok((heads, kv_heads))
    }

    /// Layers that rotate, see everything and have gated feed-forward parts of the file's sizes.
    fn layers(metadata: &Metadata, layers: usize) -> Result<Vec<LayerSpec>, ModelError> {
        let scoped = metadata.scoped()?;
        let sizes = scoped.per_layer::<usize>("feed_forward_length", layers)?;
        let layers = sizes.into_iter().map(|size| {
            let (key, fits) = (scoped.key("feed_forward_length"), SIZES.contains(&size));
            Ok(LayerSpec {
                window: None,
                rotates: true,
                feed_forward: FeedForward::Gated {
                    size: check(metadata, &key, size, fits, "a positive number below 2^31")?,
                },
            })
        });
        layers.collect()
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

/// A key of the architecture that holds a positive number below 2^31.
pub(crate) fn size(metadata: &Metadata, key: &str) -> Result<usize, ModelError> {
    let scoped = metadata.scoped()?;
    let value = scoped.get::<usize>(key)?;
    let (key, fits) = (scoped.key(key), SIZES.contains(&value));
    check(metadata, &key, value, fits, "a positive number below 2^31")
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
