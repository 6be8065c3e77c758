//! Qwen3-Next and Qwen 3.5: the gated delta rule in three of four layers, gated attention in the fourth.
//!
//! Qwen Team, 2025 and 2026; Yang et al., arXiv:2412.06464; gated attention: Qiu et al., arXiv:2505.06708. References:
//! `Qwen3NextForCausalLM`, `Qwen3_5ForCausalLM` and `Qwen3_5MoeForCausalLM` of `transformers`. Files hold the weights of
//! most norms with the 1 added that `transformers` adds at run time. In those of Qwen 3.5, value heads of one key head
//! take turns with those of the others.

use super::hugging_face::{Change, HuggingFace, Translation};
use super::recurrent::{from_logarithm, squeezed};
use super::{Architecture, DeltaSpec, Experts, Mixer, QkNorm, RopePairing, Shares, Spec};
use crate::ModelError;
use crate::format::{Metadata, StringArray};

/// Qwen3-Next, whose layers have experts.
#[derive(Clone, Copy, Debug)]
pub struct Qwen3Next;

/// Qwen 3.5 with experts, its text part.
#[derive(Clone, Copy, Debug)]
pub struct Qwen35Moe;

/// Qwen 3.5, dense, its text part.
#[derive(Clone, Copy, Debug)]
pub struct Qwen35;

impl Architecture for Qwen35 {
    fn names(&self) -> &[&str] {
        &["qwen35"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let text = taking_turns(family(&["qwen3_5_text"], &["Qwen3_5ForCausalLM"]));
        let classes = &["Qwen3_5ForConditionalGeneration"];
        let of_many = taking_turns(family(&["qwen3_5"], classes));
        vec![text, text_part(of_many)]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        // The positions of text are the same in all sections of its rotation.
        metadata
            .scoped()?
            .maybe::<Vec<u32>>("rope.dimension_sections")?;
        gated_delta_hybrid(metadata, DeltaSpec::read(metadata, false)?)
    }
}

impl Architecture for Qwen35Moe {
    fn names(&self) -> &[&str] {
        &["qwen35moe"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let moe = |types: &[&'static str], classes: &[&'static str]| {
            with_shared_expert(taking_turns(family(types, classes)))
        };
        let text = moe(&["qwen3_5_moe_text"], &["Qwen3_5MoeForCausalLM"]);
        let classes = &["Qwen3_5MoeForConditionalGeneration"];
        vec![text, text_part(moe(&["qwen3_5_moe"], classes))]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Qwen35.spec(metadata)?;
        spec.with_experts(experts(metadata)?);
        Ok(spec)
    }
}

impl Architecture for Qwen3Next {
    fn names(&self) -> &[&str] {
        &["qwen3next"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let next = family(&["qwen3_next"], &["Qwen3NextForCausalLM"])
            .then(super::qwen2::no_dense_layers)
            .copies(
                "model.layers.{}.linear_attn.in_proj_qkvz",
                &["blk.{}.attn_qkv", "blk.{}.attn_gate"],
            )
            .tensor("model.layers.{}.linear_attn.in_proj_ba", "blk.{}.ssm_ba")
            .change("attn_qkv.weight", Change::Rows(queries_keys_values))
            .change("attn_gate.weight", Change::Rows(gates));
        vec![with_shared_expert(next)]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let delta = DeltaSpec {
            rates_fused: true,
            ..DeltaSpec::read(metadata, true)?
        };
        let mut spec = gated_delta_hybrid(metadata, delta)?;
        spec.with_experts(experts(metadata)?);
        Ok(spec)
    }
}

fn experts(metadata: &Metadata) -> Result<Experts, ModelError> {
    Experts::read(metadata, Shares::OfChosen)?.with_shared(metadata, true)
}

/// What all share.
fn gated_delta_hybrid(metadata: &Metadata, delta: DeltaSpec) -> Result<Spec, ModelError> {
    let scoped = metadata.scoped()?;
    let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
    let key = "full_attention_interval";
    let interval = scoped.maybe::<usize>(key)?.unwrap_or(4);
    super::spec::check(
        metadata,
        &scoped.key(key),
        interval,
        interval > 0,
        "at least one layer",
    )?;
    let listed = scoped.maybe_per_layer::<bool>("attention.recurrent_layers", spec.layers.len())?;
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        let recurrent = match &listed {
            Some(listed) => listed[index],
            None => !(index + 1).is_multiple_of(interval),
        };
        if recurrent {
            layer.mixer = Mixer::GatedDelta(delta);
        }
    }
    spec.ffn_norm = "post_attention_norm";
    spec.qk_norm = QkNorm::Heads;
    spec.attention_gate = true;
    Ok(spec)
}

/// Folders of all.
fn family(model_types: &[&'static str], classes: &[&'static str]) -> HuggingFace {
    let one_added = [
        "attn_norm.weight",
        "post_attention_norm.weight",
        "output_norm.weight",
        "attn_q_norm.weight",
        "attn_k_norm.weight",
    ];
    let family = HuggingFace::decoder(model_types, classes)
        .key("linear_num_key_heads", "ssm.group_count")
        .key("linear_num_value_heads", "ssm.time_step_rank")
        .key("linear_key_head_dim", "ssm.state_size")
        .key("linear_conv_kernel_dim", "ssm.conv_kernel")
        .optional("full_attention_interval", "full_attention_interval")
        .only("attention_bias", &[false])
        .rotated_part(0.25)
        .recurrent(&["linear_attention"])
        .then(sizes)
        .then(recurrent_layers)
        .tensor(
            "model.layers.{}.post_attention_layernorm",
            "blk.{}.post_attention_norm",
        )
        .tensor("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm")
        .tensor("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm")
        .tensor("model.layers.{}.linear_attn.A_log", "blk.{}.ssm_a")
        .tensor("model.layers.{}.linear_attn.dt_bias", "blk.{}.ssm_dt.bias")
        .tensor("model.layers.{}.linear_attn.conv1d", "blk.{}.ssm_conv1d")
        .tensor("model.layers.{}.linear_attn.norm", "blk.{}.ssm_norm")
        .tensor("model.layers.{}.linear_attn.out_proj", "blk.{}.ssm_out")
        // Layers that guess ahead.
        .other_part("mtp.")
        .inert("mtp_num_hidden_layers")
        .inert("mtp_use_dedicated_embeddings")
        .change("ssm_conv1d.weight", Change::Reshape(squeezed))
        .change("ssm_a", Change::Map(from_logarithm));
    let add_one = |family: HuggingFace, end| family.change(end, Change::Map(|x| x + 1.0));
    one_added.into_iter().fold(family, add_one)
}

/// The text part of models that also see; all positions of text are the same in the sections of its rotation.
fn text_part(model: HuggingFace) -> HuggingFace {
    const OTHERS: [&str; 8] = [
        "vision_config",
        "image_token_id",
        "video_token_id",
        "vision_start_token_id",
        "vision_end_token_id",
        "rope_parameters.mrope_section",
        "rope_parameters.mrope_interleaved",
        "language_model_only",
    ];
    let model = model
        .nested("text_config")
        .prefix("model.language_model.", "model.")
        .other_part("model.visual.");
    OTHERS.into_iter().fold(model, HuggingFace::inert)
}

/// Qwen 3.5's matrices, in which value heads of one key head lie side by side.
fn taking_turns(model: HuggingFace) -> HuggingFace {
    model
        .tensor("model.layers.{}.linear_attn.in_proj_qkv", "blk.{}.attn_qkv")
        .tensor("model.layers.{}.linear_attn.in_proj_z", "blk.{}.attn_gate")
        .tensor("model.layers.{}.linear_attn.in_proj_a", "blk.{}.ssm_alpha")
        .tensor("model.layers.{}.linear_attn.in_proj_b", "blk.{}.ssm_beta")
        .change("attn_qkv.weight", Change::Rows(values_by_turns))
        .change("ssm_conv1d.weight", Change::Rows(values_by_turns))
        .change("attn_gate.weight", Change::Rows(heads_by_turns))
        .change("ssm_alpha.weight", Change::Rows(heads_by_turns))
        .change("ssm_beta.weight", Change::Rows(heads_by_turns))
        .change("ssm_a", Change::Rows(heads_by_turns))
        .change("ssm_dt.bias", Change::Rows(heads_by_turns))
        .change("ssm_out.weight", Change::Columns(heads_by_turns))
}

fn with_shared_expert(model: HuggingFace) -> HuggingFace {
    super::qwen2::with_shared_expert(model.experts())
        .optional("intermediate_size", "feed_forward_length")
        .then(|translation| {
            // No layer has a dense part, whose size only some files still say.
            const KEY: &str = "moe_intermediate_size";
            if translation.config.contains("intermediate_size") {
                return Ok(());
            }
            let size: usize = translation.config.get(KEY)?;
            translation.set_from(KEY, "feed_forward_length", size)
        })
}

/// What is told by two keys.
fn sizes(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    let config = translation.config;
    let key = "linear_value_head_dim";
    let heads: usize = config.get("linear_num_value_heads")?;
    let inner = heads.saturating_mul(config.get(key)?);
    translation.set_from(key, "ssm.inner_size", inner)
}

fn recurrent_layers(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const KEY: &str = "layer_types";
    let Some(types) = translation.config.maybe::<&StringArray>(KEY)? else {
        return Ok(());
    };
    let recurrent: Vec<bool> = types
        .iter()
        .map(|kind| kind == b"linear_attention")
        .collect();
    translation.set_from(KEY, "attention.recurrent_layers", recurrent)
}

/// Heads and sizes of the delta rule.
struct Heads {
    keys: usize,
    /// Value heads of each key head.
    group: usize,
    key_dim: usize,
    value_dim: usize,
}

impl Heads {
    fn read(metadata: &Metadata) -> Result<Self, ModelError> {
        let rule = DeltaSpec::read(metadata, true)?.rule;
        Ok(Self {
            keys: rule.key_heads,
            group: rule.value_heads / rule.key_heads,
            key_dim: rule.key_dim,
            value_dim: rule.value_dim,
        })
    }

    /// Rows of queries and keys.
    fn before_values(&self) -> usize {
        2 * self.keys * self.key_dim
    }

    /// Each head of `size` rows after `first`, where those of one key head take turns with those of the others.
    fn by_turns(&self, first: usize, size: usize) -> Vec<usize> {
        let head = |turn: usize, key: usize| {
            let head = first + (key * self.group + turn) * size;
            head..head + size
        };
        let turns = (0..self.group).flat_map(|turn| (0..self.keys).map(move |key| (turn, key)));
        turns.flat_map(|(turn, key)| head(turn, key)).collect()
    }

    /// Rows of Qwen3-Next's `in_proj_qkvz`: each key head's query, key, values and gates. The rows `part` of each.
    fn of_each(&self, part: std::ops::Range<usize>) -> impl Iterator<Item = usize> {
        let whole = 2 * (self.key_dim + self.group * self.value_dim);
        (0..self.keys).flat_map(move |key| part.clone().map(move |row| key * whole + row))
    }
}

/// The order of rows. Where they do not fit the heads they stay: the loader says then what is wrong with the shape.
fn if_fits(rows: usize, expected: usize, order: impl FnOnce() -> Vec<usize>) -> Vec<usize> {
    match rows == expected {
        true => order(),
        false => (0..rows).collect(),
    }
}

fn heads_by_turns(metadata: &Metadata, rows: usize) -> Result<Vec<usize>, ModelError> {
    let heads = Heads::read(metadata)?;
    let count = heads.keys * heads.group;
    let size = rows / count;
    Ok(if_fits(rows, size * count, || heads.by_turns(0, size)))
}

/// Queries and keys as they are, then values.
fn values_by_turns(metadata: &Metadata, rows: usize) -> Result<Vec<usize>, ModelError> {
    let heads = Heads::read(metadata)?;
    let (first, values) = (heads.before_values(), heads.keys * heads.group);
    Ok(if_fits(rows, first + values * heads.value_dim, || {
        let mut order: Vec<usize> = (0..first).collect();
        order.extend(heads.by_turns(first, heads.value_dim));
        order
    }))
}

fn queries_keys_values(metadata: &Metadata, rows: usize) -> Result<Vec<usize>, ModelError> {
    let heads = Heads::read(metadata)?;
    let (key, values) = (heads.key_dim, heads.group * heads.value_dim);
    Ok(if_fits(rows, 2 * heads.keys * (key + values), || {
        let mut order: Vec<usize> = heads.of_each(0..key).collect();
        order.extend(heads.of_each(key..2 * key));
        order.extend(heads.of_each(2 * key..2 * key + values));
        order
    }))
}

fn gates(metadata: &Metadata, rows: usize) -> Result<Vec<usize>, ModelError> {
    let heads = Heads::read(metadata)?;
    let (key, values) = (heads.key_dim, heads.group * heads.value_dim);
    let part = 2 * key + values..2 * (key + values);
    Ok(if_fits(rows, 2 * heads.keys * (key + values), || {
        heads.of_each(part).collect()
    }))
}
