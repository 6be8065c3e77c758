//! The description itself, put together call by call.

use super::{
    Change, FolderConfig, Translation, Windows, interleave_keys, interleave_queries, rope, windows,
};
use crate::ModelError;
use crate::format::Value;
use indexmap::IndexMap;

/// What the folders of some models look like.
///
/// Names of the model's own keys are GGUF's without the architecture before them (`block_count`); names of tensors are
/// GGUF's without `.weight` or `.bias` at their end (`blk.{}.attn_q`), and `{}` stands for the numbers in them. What a
/// later call says of a key or a tensor replaces what an earlier one said.
///
/// ```
/// use dino_models::arch::{Change, HuggingFace};
///
/// // Gemma 2, for instance, is a decoder with two keys and two norms more, and adds 1 to the weights of norms.
/// let gemma2 = HuggingFace::decoder(&["gemma2"], &["Gemma2ForCausalLM"])
///     .optional("attn_logit_softcapping", "attn_logit_softcapping")
///     .optional("final_logit_softcapping", "final_logit_softcapping")
///     .tensor("model.layers.{}.pre_feedforward_layernorm", "blk.{}.ffn_norm")
///     .tensor("model.layers.{}.post_attention_layernorm", "blk.{}.post_attention_norm")
///     .tensor("model.layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm")
///     .change("norm.weight", Change::Map(|weight| weight + 1.0));
/// assert!(gemma2.model_types().contains(&"gemma2"));
/// ```
#[derive(Clone, Debug)]
pub struct HuggingFace {
    pub(super) model_types: Vec<&'static str>,
    pub(super) classes: Vec<&'static str>,
    pub(in crate::arch) architecture: Option<&'static str>,
    pub(super) nested: Option<&'static str>,
    pub(super) defaults: Vec<(&'static str, Value)>,
    pub(super) keys: IndexMap<&'static str, Key>,
    pub(super) hooks: Vec<Hook>,
    pub(super) variants: Vec<Variant>,
    pub(super) windows: Windows,
    /// The base of rotation, and the rotated part of a head, where the configuration does not say.
    pub(super) rotation: (f64, Option<f64>),
    /// The `layer_types` that are no attention.
    pub(super) recurrent: &'static [&'static str],
    pub(super) tied: Option<bool>,
    pub(super) biases: IndexMap<&'static str, (bool, &'static [&'static str])>,
    pub(super) prefixes: Vec<(&'static str, &'static str)>,
    /// What the names of tensors of other parts start with.
    pub(super) other_parts: Vec<&'static str>,
    /// Their pattern, and the tensors that it becomes.
    pub(super) tensors: IndexMap<&'static str, Vec<Target>>,
    pub(super) changes: Vec<(&'static str, Change)>,
}

/// What a key of the configuration means.
#[derive(Clone, Debug)]
pub(super) enum Key {
    /// It must be there and becomes these.
    Required(Vec<&'static str>),
    /// Where it is there, it becomes these.
    Optional(Vec<&'static str>),
    /// It may only say one of these.
    Only(Vec<Value>),
    /// It changes no number.
    Inert,
}

/// A tensor of the folder becomes this one of the model.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: &'static str,
    /// Which of how many equal runs of its rows.
    pub(super) part: (usize, usize),
    /// Its place among the tensors whose rows are joined to one.
    pub(super) place: usize,
}

/// Whether a configuration is of some kind, and what is said of it then.
pub(super) type Variant = (
    fn(&FolderConfig<'_>) -> Result<bool, ModelError>,
    fn(HuggingFace) -> HuggingFace,
);

/// What cannot be said key by key.
pub(super) type Hook = fn(&mut Translation<'_>) -> Result<(), ModelError>;

impl HuggingFace {
    /// No key and no tensor yet: models whose `config.json` says one of `model_types` and, if it says any, one of
    /// `classes` among its `architectures`.
    pub fn new(model_types: &[&'static str], classes: &[&'static str]) -> Self {
        Self {
            model_types: model_types.to_vec(),
            classes: classes.to_vec(),
            architecture: None,
            nested: None,
            defaults: Vec::new(),
            keys: IndexMap::new(),
            hooks: Vec::new(),
            variants: Vec::new(),
            windows: Windows::None,
            rotation: (10_000.0, None),
            recurrent: &[],
            tied: None,
            biases: IndexMap::new(),
            prefixes: Vec::new(),
            other_parts: Vec::new(),
            tensors: IndexMap::new(),
            changes: Vec::new(),
        }
    }

    /// What most decoders share, under the names of llama's: sizes, heads, RMS norm, SwiGLU, rotary embedding with its
    /// scaling, no window, a head of its own unless `tie_word_embeddings` says otherwise.
    pub fn decoder(model_types: &[&'static str], classes: &[&'static str]) -> Self {
        Self::new(model_types, classes)
            .key("vocab_size", "vocab_size")
            .key("hidden_size", "embedding_length")
            .key("num_hidden_layers", "block_count")
            .key("num_attention_heads", "attention.head_count")
            .optional("num_key_value_heads", "attention.head_count_kv")
            .optional_as(
                "head_dim",
                &["attention.key_length", "attention.value_length"],
            )
            .key("intermediate_size", "feed_forward_length")
            .key("max_position_embeddings", "context_length")
            .key("rms_norm_eps", "attention.layer_norm_rms_epsilon")
            .only("hidden_act", &["silu", "swish"])
            .rotary()
            .then(windows::read)
            .tied(false)
            .tensor("model.embed_tokens", "token_embd")
            .tensor("model.norm", "output_norm")
            .tensor("lm_head", "output")
            .tensor("model.layers.{}.input_layernorm", "blk.{}.attn_norm")
            .tensor("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q")
            .tensor("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k")
            .tensor("model.layers.{}.self_attn.v_proj", "blk.{}.attn_v")
            .tensor("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output")
            .tensor(
                "model.layers.{}.post_attention_layernorm",
                "blk.{}.ffn_norm",
            )
            .tensor("model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate")
            .tensor("model.layers.{}.mlp.up_proj", "blk.{}.ffn_up")
            .tensor("model.layers.{}.mlp.down_proj", "blk.{}.ffn_down")
            .ignore("model.layers.{}.self_attn.rotary_emb.inv_freq")
            .base("model.")
    }

    /// Rotary embedding with its scaling, as configurations of `transformers` 4 and 5 describe it.
    #[must_use]
    pub fn rotary(self) -> Self {
        self.then(rope::read)
    }

    /// The base of the rotation where the configuration does not say; 10,000 without this.
    #[must_use]
    pub fn rope_theta(mut self, base: f64) -> Self {
        self.rotation.0 = base;
        self
    }

    /// The part of each head that is rotated where the configuration does not say; all of it without this.
    #[must_use]
    pub fn rotated_part(mut self, part: f64) -> Self {
        self.rotation.1 = Some(part);
        self
    }

    /// Layer norms, whose epsilon is `key`, instead of RMS norms.
    #[must_use]
    pub fn layer_norms(self, key: &'static str) -> Self {
        self.without("rms_norm_eps")
            .key(key, "attention.layer_norm_epsilon")
    }

    /// The activation must be one of these, whatever [`Self::decoder`] says.
    #[must_use]
    pub fn activation(self, key: &'static str, values: &[&'static str]) -> Self {
        self.without("hidden_act").only(key, values)
    }

    /// Forgets what was said of a key: these models have none of that name.
    #[must_use]
    pub fn without(mut self, key: &'static str) -> Self {
        self.keys.shift_remove(key);
        self
    }

    /// Rows of queries and keys in the order of llama's files; see [`interleave_queries`].
    #[must_use]
    pub fn interleaved(self) -> Self {
        self.change("attn_q.weight", Change::Rows(interleave_queries))
            .change("attn_q.bias", Change::Rows(interleave_queries))
            .change("attn_k.weight", Change::Rows(interleave_keys))
            .change("attn_k.bias", Change::Rows(interleave_keys))
    }

    /// A mixture of experts in every layer, under the names of Qwen's.
    #[must_use]
    pub fn experts(self) -> Self {
        self.optional("num_experts", "expert_count")
            .optional("num_local_experts", "expert_count")
            .key("num_experts_per_tok", "expert_used_count")
            .optional("norm_topk_prob", "expert_weights_norm")
            .tensor("model.layers.{}.mlp.gate", "blk.{}.ffn_gate_inp")
            .tensor(
                "model.layers.{}.mlp.experts.{}.gate_proj",
                "blk.{}.ffn_gate_exps",
            )
            .tensor(
                "model.layers.{}.mlp.experts.{}.up_proj",
                "blk.{}.ffn_up_exps",
            )
            .tensor(
                "model.layers.{}.mlp.experts.{}.down_proj",
                "blk.{}.ffn_down_exps",
            )
            // All experts of a layer as one tensor, without `.weight`.
            .split(
                "model.layers.{}.mlp.experts.gate_up_proj",
                &["blk.{}.ffn_gate_exps.weight", "blk.{}.ffn_up_exps.weight"],
            )
            .tensor(
                "model.layers.{}.mlp.experts.down_proj",
                "blk.{}.ffn_down_exps.weight",
            )
    }

    /// The values of `model_type` that this describes.
    pub fn model_types(&self) -> &[&'static str] {
        &self.model_types
    }

    /// Gives the model this name of its architecture's instead of the first one.
    #[must_use]
    pub fn named(mut self, architecture: &'static str) -> Self {
        self.architecture = Some(architecture);
        self
    }

    /// Looks keys up inside this object of the configuration first: the text part of a model of several parts.
    #[must_use]
    pub fn nested(mut self, object: &'static str) -> Self {
        self.nested = Some(object);
        self
    }

    /// What `transformers` takes for a key that the configuration does not have. Only for keys that published folders
    /// leave out.
    #[must_use]
    pub fn default(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.defaults.push((key, value.into()));
        self
    }

    /// The key `theirs`, which must be there, is the model's `ours`.
    #[must_use]
    pub fn key(self, theirs: &'static str, ours: &'static str) -> Self {
        self.set(theirs, Key::Required(vec![ours]))
    }

    /// The key `theirs`, if it is there, is the model's `ours`.
    #[must_use]
    pub fn optional(self, theirs: &'static str, ours: &'static str) -> Self {
        self.set(theirs, Key::Optional(vec![ours]))
    }

    /// The key `theirs`, if it is there, is each of the model's `ours`.
    #[must_use]
    pub fn optional_as(self, theirs: &'static str, ours: &[&'static str]) -> Self {
        self.set(theirs, Key::Optional(ours.to_vec()))
    }

    /// The key may be missing or say one of `values`; another would change the numbers in a way that is not supported.
    #[must_use]
    pub fn only<T: Clone + Into<Value>>(self, key: &'static str, values: &[T]) -> Self {
        let values = values.iter().cloned().map(Into::into).collect();
        self.set(key, Key::Only(values))
    }

    /// The key, and what is inside of it, changes no number. Those of all models are known
    /// (`arch/hugging_face/inert.rs`).
    #[must_use]
    pub fn inert(self, key: &'static str) -> Self {
        self.set(key, Key::Inert)
    }

    fn set(mut self, key: &'static str, meaning: Key) -> Self {
        self.keys.insert(key, meaning);
        self
    }

    /// Runs `hook` after the keys: for what cannot be said key by key.
    #[must_use]
    pub fn then(mut self, hook: fn(&mut Translation<'_>) -> Result<(), ModelError>) -> Self {
        self.hooks.push(hook);
        self
    }

    /// Says more of folders whose configuration `holds`, before anything of them is read: names of tensors that depend on
    /// a key, for instance.
    #[must_use]
    pub fn when(
        mut self,
        holds: fn(&FolderConfig<'_>) -> Result<bool, ModelError>,
        change: fn(Self) -> Self,
    ) -> Self {
        self.variants.push((holds, change));
        self
    }

    /// Which layers have a window where the configuration does not list them by `layer_types`.
    #[must_use]
    pub fn windows(mut self, windows: Windows) -> Self {
        self.windows = windows;
        self
    }

    /// Which of the `layer_types` are no attention; a hook says what they are then.
    #[must_use]
    pub fn recurrent(mut self, types: &'static [&'static str]) -> Self {
        self.recurrent = types;
        self
    }

    /// Whether the embedding table is the head too where `tie_word_embeddings` is not there.
    #[must_use]
    pub fn tied(mut self, tied: bool) -> Self {
        self.tied = Some(tied);
        self
    }

    /// The boolean `key` (or `missing`, where it is not there) says whether the model's `layers` (`attn_q`) of each
    /// block have biases. The file must have them or lack them accordingly.
    #[must_use]
    pub fn biases(
        mut self,
        key: &'static str,
        missing: bool,
        layers: &'static [&'static str],
    ) -> Self {
        self.biases.insert(key, (missing, layers));
        self
    }

    /// Tensors whose names start with `theirs` are called as if they started with `ours`.
    #[must_use]
    pub fn prefix(mut self, theirs: &'static str, ours: &'static str) -> Self {
        self.prefixes.push((theirs, ours));
        self
    }

    /// Where no tensor's name starts with `base`, as in folders saved without a head, all are called as if they did.
    #[must_use]
    pub fn base(self, base: &'static str) -> Self {
        self.prefix("", base)
    }

    /// The tensor `theirs` is the model's `ours`. Where there is a `{}` more in `theirs` than in `ours`, all that differ
    /// in it are stacked.
    #[must_use]
    pub fn tensor(self, theirs: &'static str, ours: &'static str) -> Self {
        self.split(theirs, &[ours])
    }

    /// The rows of `theirs` are those of each of `ours` in turn, all of equally many.
    #[must_use]
    pub fn split(mut self, theirs: &'static str, ours: &[&'static str]) -> Self {
        let target = |(index, &name): (usize, &&'static str)| Target {
            name,
            part: (index, ours.len()),
            place: 0,
        };
        let targets = ours.iter().enumerate().map(target).collect();
        self.tensors.insert(theirs, targets);
        self
    }

    /// The tensor `theirs` becomes each of `ours`, as whole; changes pick what belongs to which.
    #[must_use]
    pub fn copies(mut self, theirs: &'static str, ours: &[&'static str]) -> Self {
        let target = |&name: &&'static str| Target {
            name,
            part: (0, 1),
            place: 0,
        };
        self.tensors
            .insert(theirs, ours.iter().map(target).collect());
        self
    }

    /// The rows of `theirs` in turn are those of `ours`.
    #[must_use]
    pub fn join(mut self, theirs: &[&'static str], ours: &'static str) -> Self {
        for (place, &pattern) in theirs.iter().enumerate() {
            let part = (0, 1);
            let name = ours;
            self.tensors
                .insert(pattern, vec![Target { name, part, place }]);
        }
        self
    }

    /// The tensor `theirs` is not needed: a buffer that can be computed.
    #[must_use]
    pub fn ignore(mut self, theirs: &'static str) -> Self {
        self.tensors.insert(theirs, Vec::new());
        self
    }

    /// Tensors whose names start with `theirs` belong to a part of the model that text does not go through, such as the
    /// tower for images, or the layers that guess ahead.
    #[must_use]
    pub fn other_part(mut self, theirs: &'static str) -> Self {
        self.other_parts.push(theirs);
        self
    }

    /// Names of the tensors of a model that also sees, as `transformers` 4 and 5 give them: those of the part for text lose what
    /// stands before them, those of the tower for images and of what joins it to the text are left alone.
    #[must_use]
    pub fn beside_vision(self) -> Self {
        self.prefix("language_model.model.", "model.")
            .prefix("language_model.lm_head.", "lm_head.")
            .prefix("model.language_model.", "model.")
            .other_part("vision_tower.")
            .other_part("multi_modal_projector.")
            .other_part("model.vision_tower.")
            .other_part("model.multi_modal_projector.")
    }

    /// Changes the model's tensors whose names end in `end`, behind the changes that were asked for before.
    #[must_use]
    pub fn change(mut self, end: &'static str, change: Change) -> Self {
        self.changes.push((end, change));
        self
    }
}
