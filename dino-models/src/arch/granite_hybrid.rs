//! Granite 4: a granite most of whose layers are Mamba-2's, in some with experts beside a shared one.
//!
//! IBM, "Granite 4.0", 2025; Dao and Gu, arXiv:2405.21060. Reference: `GraniteMoeHybridForCausalLM` of `transformers`.

use super::granite::{self, Granite};
use super::hugging_face::{Change, FolderConfig, HuggingFace, Translation};
use super::mamba;
use super::recurrent::{from_logarithm, squeezed};
use super::{Architecture, Experts, Mixer, Shares, Spec, StateSpaceSpec};
use crate::ModelError;
use crate::format::{Metadata, StringArray};

/// Granite 4, hybrid or not.
#[derive(Clone, Copy, Debug)]
pub struct GraniteHybrid;

impl Architecture for GraniteHybrid {
    fn names(&self) -> &[&str] {
        &["granitehybrid"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let classes = &["GraniteMoeHybridForCausalLM"];
        let hybrid = granite::family(&["granitemoehybrid"], classes)
            .without("intermediate_size")
            .without("num_key_value_heads")
            .key("mamba_n_heads", "ssm.time_step_rank")
            .key("mamba_n_groups", "ssm.group_count")
            .key("mamba_d_state", "ssm.state_size")
            .key("mamba_d_conv", "ssm.conv_kernel")
            .only("mamba_conv_bias", &[true])
            .only("mamba_proj_bias", &[false])
            .only("normalization_function", &["rmsnorm"])
            // How much is computed at once, and how weights were drawn before training.
            .inert("mamba_chunk_size")
            .inert("init_method")
            .recurrent(RECURRENT)
            .then(kv_heads)
            .then(state_spaces)
            .then(feed_forward)
            .then(rotation)
            .tensor("model.layers.{}.mamba.in_proj", "blk.{}.ssm_in")
            .tensor("model.layers.{}.mamba.conv1d", "blk.{}.ssm_conv1d")
            .tensor("model.layers.{}.mamba.A_log", "blk.{}.ssm_a")
            .tensor("model.layers.{}.mamba.D", "blk.{}.ssm_d")
            .tensor("model.layers.{}.mamba.dt_bias", "blk.{}.ssm_dt.bias")
            .tensor("model.layers.{}.mamba.norm", "blk.{}.ssm_norm")
            .tensor("model.layers.{}.mamba.out_proj", "blk.{}.ssm_out")
            .change("ssm_conv1d.weight", Change::Reshape(squeezed))
            .change("ssm_a", Change::Map(from_logarithm));
        let hybrid = granite::with_experts(mamba::in_groups(hybrid))
            .split(
                "model.layers.{}.shared_mlp.input_linear",
                &["blk.{}.ffn_gate_shexp", "blk.{}.ffn_up_shexp"],
            )
            .tensor(
                "model.layers.{}.shared_mlp.output_linear",
                "blk.{}.ffn_down_shexp",
            );
        // Without experts the shared one is the feed-forward part.
        vec![hybrid.when(
            |config| Ok(experts(config)? == 0),
            |dense| {
                dense
                    .split(
                        "model.layers.{}.shared_mlp.input_linear",
                        &["blk.{}.ffn_gate", "blk.{}.ffn_up"],
                    )
                    .tensor(
                        "model.layers.{}.shared_mlp.output_linear",
                        "blk.{}.ffn_down",
                    )
            },
        )]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let scoped = metadata.scoped()?;
        let mut spec = Granite.spec(metadata)?;
        if scoped.value("ssm.conv_kernel").is_some() {
            let space = StateSpaceSpec::read(metadata)?;
            spec.mix_without_kv_heads(metadata, Mixer::StateSpace(space))?;
        }
        if !scoped.maybe("rope.scaling.finetuned")?.unwrap_or(true) {
            spec.without_rotation();
        }
        let count: usize = scoped.maybe("expert_count")?.unwrap_or(0);
        if count > 0 {
            let experts = Experts::read(metadata, Shares::OfChosen)?;
            spec.with_experts(experts.with_shared(metadata, false)?);
        } else {
            // Converters write these of dense models too, where they say nothing new.
            scoped.maybe::<usize>("expert_used_count")?;
            scoped.maybe::<usize>("expert_shared_feed_forward_length")?;
        }
        Ok(spec)
    }
}

/// What `layer_types` calls layers without attention; folders of before `transformers` 5 have the second name.
const RECURRENT: &[&str] = &["linear_attention", "mamba"];

fn experts(config: &FolderConfig<'_>) -> Result<usize, ModelError> {
    Ok(config.maybe("num_local_experts")?.unwrap_or(8))
}

/// Key/value heads of each layer; none in those without attention.
fn kv_heads(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const TYPES: &str = "layer_types";
    let config = translation.config;
    let layers: usize = config.get("num_hidden_layers")?;
    let heads: u32 = match config.maybe("num_key_value_heads")? {
        Some(heads) => heads,
        None => config.get("num_attention_heads")?,
    };
    let attends = |kind: &[u8]| !RECURRENT.iter().any(|known| known.as_bytes() == kind);
    let heads: Vec<u32> = match config.maybe::<&StringArray>(TYPES)? {
        Some(types) => types
            .iter()
            .map(|kind| heads * u32::from(attends(kind)))
            .collect(),
        None => vec![0; layers.min(1 << 16)],
    };
    translation.set_from(TYPES, "attention.head_count_kv", heads)
}

/// Features inside of a state space, which two keys say.
fn state_spaces(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const SIZE: &str = "mamba_d_head";
    let config = translation.config;
    let expand: usize = config.maybe("mamba_expand")?.unwrap_or(2);
    let hidden: usize = config.get("hidden_size")?;
    let inner = expand.saturating_mul(hidden);
    let heads: usize = config.get("mamba_n_heads")?;
    if config.maybe::<&str>(SIZE).ok().flatten() != Some("auto") {
        let size: usize = config.get(SIZE)?;
        if heads.checked_mul(size) != Some(inner) {
            let expected = format!(
                "{inner} features (mamba_expand times hidden_size) over mamba_n_heads {heads}"
            );
            return Err(translation.impossible(SIZE, &size.to_string(), &expected));
        }
    }
    translation.set_from("mamba_expand", "ssm.inner_size", inner)?;
    mamba::unlimited_steps(translation)
}

/// Sizes of the feed-forward part and of experts.
fn feed_forward(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const SHARED: &str = "shared_intermediate_size";
    let config = translation.config;
    let (size, shared): (usize, usize) = (config.get("intermediate_size")?, config.get(SHARED)?);
    let count = experts(&config)?;
    let used: usize = config.maybe("num_experts_per_tok")?.unwrap_or(2);
    if count == 0 {
        return translation.set_from(SHARED, "feed_forward_length", shared);
    }
    if used > count {
        let expected = format!("up to num_local_experts {count}");
        return Err(translation.impossible("num_experts_per_tok", &used.to_string(), &expected));
    }
    translation.set_from("intermediate_size", "feed_forward_length", size)?;
    translation.set_from(SHARED, "expert_shared_feed_forward_length", shared)?;
    translation.set_from("num_local_experts", "expert_count", count)?;
    translation.set_from("num_experts_per_tok", "expert_used_count", used)
}

/// Whether attention rotates, which GGUF files say by a key of another name.
fn rotation(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const KEY: &str = "position_embedding_type";
    let kind = translation.config.maybe::<&str>(KEY)?;
    translation.set_from(KEY, "rope.scaling.finetuned", kind == Some("rope"))
}
