//! Qwen3-Next and Qwen 3.5: the gated delta rule in three of four layers, gated attention in the fourth.
//!
//! Qwen Team, 2025 and 2026; Yang et al., arXiv:2412.06464; gated attention: Qiu et al., arXiv:2505.06708. References:
//! `Qwen3NextForCausalLM`, `Qwen3_5ForCausalLM` and `Qwen3_5MoeForCausalLM` of `transformers`. Files hold the weights of
//! most norms with the 1 added that `transformers` adds at run time. In those of Qwen 3.5, value heads of one key head
//! take turns with those of the others.

use super::{Architecture, DeltaSpec, Experts, Mixer, QkNorm, RopePairing, Shares, Spec};
use crate::ModelError;
use crate::format::Metadata;

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
