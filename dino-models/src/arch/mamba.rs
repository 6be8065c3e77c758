//! Mamba and Mamba-2: state spaces, and nothing else.
//!
//! Gu and Dao, arXiv:2312.00752; Dao and Gu, arXiv:2405.21060. References: `MambaForCausalLM`, `FalconMambaForCausalLM`
//! and `Mamba2ForCausalLM` of `transformers`. Files hold A itself where `transformers` has the logarithm of -A.

use super::hugging_face::{Change, HuggingFace, Translation};
use super::recurrent::{from_logarithm, squeezed};
use super::{Architecture, Mixer, Norm, SelectiveScanSpec, Spec, StateSpaceSpec};
use crate::ModelError;
use crate::format::Metadata;

/// Mamba, also Falcon Mamba.
#[derive(Clone, Copy, Debug)]
pub struct Mamba;

/// Mamba-2, also Codestral Mamba.
#[derive(Clone, Copy, Debug)]
pub struct Mamba2;

impl Architecture for Mamba {
    fn names(&self) -> &[&str] {
        &["mamba"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let scans = |model_type: &[&'static str], class: &[&'static str]| {
            family(model_type, class)
                .then(steps)
                .tensor("backbone.layers.{}.mixer.x_proj", "blk.{}.ssm_x")
                .tensor("backbone.layers.{}.mixer.dt_proj", "blk.{}.ssm_dt")
        };
        let mamba = scans(&["mamba"], &["MambaForCausalLM"]).tied(true);
        let falcon = scans(&["falcon_mamba"], &["FalconMambaForCausalLM"])
            .tied(true)
            // Files have no key for it.
            .only("mixer_rms_eps", &[1e-6])
            .then(|translation| translation.set_from("model_type", "ssm.dt_b_c_rms", true));
        vec![mamba, falcon]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let scan = SelectiveScanSpec::read(metadata)?;
        state_spaces(metadata, Mixer::SelectiveScan(scan))
    }
}

impl Architecture for Mamba2 {
    fn names(&self) -> &[&str] {
        &["mamba2"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let mamba2 = family(&["mamba2"], &["Mamba2ForCausalLM"])
            .tied(false)
            .key("num_heads", "ssm.time_step_rank")
            .key("n_groups", "ssm.group_count")
            .only("rms_norm", &[true])
            // How much is computed at once; and keys that `transformers` does not read.
            .inert("chunk_size")
            .inert("norm_before_gate")
            .inert("time_step_rank")
            .then(heads)
            .tensor("backbone.layers.{}.mixer.dt_bias", "blk.{}.ssm_dt.bias")
            .tensor("backbone.layers.{}.mixer.norm", "blk.{}.ssm_norm");
        vec![in_groups(mamba2)]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let space = StateSpaceSpec::read(metadata)?;
        state_spaces(metadata, Mixer::StateSpace(space))
    }
}

fn state_spaces(metadata: &Metadata, mixer: Mixer) -> Result<Spec, ModelError> {
    let scoped = metadata.scoped()?;
    // Converters write these as 0.
    for key in ["attention.head_count", "feed_forward_length"] {
        let absent = scoped.maybe::<usize>(key)?.unwrap_or(0);
        super::spec::check(metadata, &scoped.key(key), absent, absent == 0, "0")?;
    }
    let mut spec = Spec::without_attention(metadata, Norm::rms(metadata)?)?;
    for each in &mut spec.layers {
        each.mixer = mixer;
    }
    Ok(spec)
}

/// Folders of all.
fn family(model_type: &[&'static str], class: &[&'static str]) -> HuggingFace {
    // How weights are drawn before training, and how `transformers` computes.
    const UNUSED: [&str; 14] = [
        "residual_in_fp32",
        "fused_add_norm",
        "time_step_floor",
        "time_step_init_scheme",
        "time_step_max",
        "time_step_min",
        "time_step_scale",
        "use_associative_scan",
        "use_falcon_mambapy",
        "use_mambapy",
        // Old names for what other keys say.
        "d_inner",
        "d_model",
        "n_layer",
        "pad_vocab_size_multiple",
    ];
    let family = HuggingFace::new(model_type, class)
        .key("vocab_size", "vocab_size")
        .key("hidden_size", "embedding_length")
        .key("num_hidden_layers", "block_count")
        .key("layer_norm_epsilon", "attention.layer_norm_rms_epsilon")
        .key("state_size", "ssm.state_size")
        .key("conv_kernel", "ssm.conv_kernel")
        .only("hidden_act", &["silu", "swish"])
        .only("use_bias", &[false])
        .only("use_conv_bias", &[true])
        .only("rescale_prenorm_residual", &[false])
        .then(sizes)
        .tensor("backbone.embedding", "token_embd")
        .tensor("backbone.embeddings", "token_embd")
        .tensor("backbone.norm_f", "output_norm")
        .tensor("lm_head", "output")
        .tensor("backbone.layers.{}.norm", "blk.{}.attn_norm")
        .tensor("backbone.layers.{}.mixer.in_proj", "blk.{}.ssm_in")
        .tensor("backbone.layers.{}.mixer.conv1d", "blk.{}.ssm_conv1d")
        .tensor("backbone.layers.{}.mixer.A_log", "blk.{}.ssm_a")
        .tensor("backbone.layers.{}.mixer.D", "blk.{}.ssm_d")
        .tensor("backbone.layers.{}.mixer.out_proj", "blk.{}.ssm_out")
        .base("backbone.")
        .change("ssm_conv1d.weight", Change::Reshape(squeezed))
        .change("ssm_a", Change::Map(from_logarithm));
    UNUSED.into_iter().fold(family, HuggingFace::inert)
}

/// Features inside, which `expand` says; and positions, of which there is no end.
fn sizes(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const INNER: &str = "intermediate_size";
    let expand: f64 = translation.config.get("expand")?;
    let hidden: f64 = translation.config.get("hidden_size")?;
    // As Python truncates.
    let inner = (expand * hidden) as usize;
    let said: usize = translation.config.maybe(INNER)?.unwrap_or(inner);
    if said != inner {
        let expected = format!("{inner}, which expand and hidden_size say");
        return Err(translation.impossible(INNER, &said.to_string(), &expected));
    }
    translation.set_from("expand", "ssm.inner_size", inner)?;
    translation.set_from("model_type", "context_length", 1_usize << 20)
}

/// Features between the two matrices that give the steps.
fn steps(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const KEY: &str = "time_step_rank";
    let rank = match translation.config.maybe::<&str>(KEY) {
        Ok(Some("auto")) => {
            let hidden: usize = translation.config.get("hidden_size")?;
            hidden.div_ceil(16)
        }
        _ => translation.config.get(KEY)?,
    };
    translation.set_from(KEY, "ssm.time_step_rank", rank)
}

/// Heads must fill what is inside, and steps be as they come.
fn heads(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    let config = translation.config;
    let inner: usize = translation.metadata().scoped()?.get("ssm.inner_size")?;
    let [heads, size] = [
        config.get::<usize>("num_heads")?,
        config.get::<usize>("head_dim")?,
    ];
    if heads.checked_mul(size) != Some(inner) {
        let expected = format!("{inner} features over num_heads {heads}");
        return Err(translation.impossible("head_dim", &size.to_string(), &expected));
    }
    unlimited_steps(translation)
}

/// Steps must be as they come.
pub(super) fn unlimited_steps(translation: &Translation<'_>) -> Result<(), ModelError> {
    let config = translation.config;
    for (key, none) in [
        ("time_step_limit.0", 0.0),
        ("time_step_limit.1", f64::INFINITY),
    ] {
        let limit: f64 = config.maybe(key)?.unwrap_or(none);
        if limit != none {
            return Err(translation.unsupported(key, &limit.to_string()));
        }
    }
    Ok(())
}

/// A, D and the norm of Mamba-2 as GGUF has them.
pub(super) fn in_groups(model: HuggingFace) -> HuggingFace {
    model
        .change("ssm_a", Change::Reshape(column))
        .change("ssm_d", Change::Reshape(column))
        .change("ssm_norm.weight", Change::Reshape(groups))
}

/// A vector as a matrix of one column.
fn column(_: &Metadata, shape: &[usize]) -> Vec<usize> {
    match shape {
        [len] => vec![*len, 1],
        _ => Vec::new(),
    }
}

/// A vector as one row for each group.
fn groups(metadata: &Metadata, shape: &[usize]) -> Vec<usize> {
    let groups = metadata
        .scoped()
        .and_then(|scoped| scoped.get("ssm.group_count"));
    match (groups, shape) {
        (Ok(groups), &[len]) if groups > 0 && len.is_multiple_of(groups) => {
            vec![groups, len / groups]
        }
        // No shape fits then, and the error names the tensor.
        _ => Vec::new(),
    }
}
