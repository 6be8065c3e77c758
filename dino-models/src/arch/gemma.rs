//! Gemma 1 to 3: GeGLU and scaled embeddings; from 2 on sandwich norms and windows in most layers.
//!
//! Gemma Team, arXiv:2403.08295, arXiv:2408.00118 and arXiv:2503.19786. References: `GemmaForCausalLM`,
//! `Gemma2ForCausalLM` and `Gemma3ForCausalLM` of `transformers`. Files hold the weights of norms with the 1 added that `transformers` adds at run time.

use super::{Activation, Architecture, Norms, QkNorm, RopePairing, RopeScaling, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Gemma and CodeGemma.
#[derive(Clone, Copy, Debug)]
pub struct Gemma;

/// Gemma 2: soft-capped scores and logits, a window in every other layer.
#[derive(Clone, Copy, Debug)]
pub struct Gemma2;

/// Gemma 3, its text part: normalised heads, a window and a rotary base of their own in five of six layers.
#[derive(Clone, Copy, Debug)]
pub struct Gemma3;

impl Architecture for Gemma {
    fn names(&self) -> &[&str] {
        &["gemma"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = gemma(metadata)?;
        spec.norms = Norms::Pre;
        Ok(spec)
    }
}

impl Architecture for Gemma2 {
    fn names(&self) -> &[&str] {
        &["gemma2"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        const LAYERS_OF_27B: usize = 46;
        let mut spec = gemma(metadata)?;
        scale_scores_of_largest(&mut spec, LAYERS_OF_27B);
        spec.attention_softcap = Spec::positive(metadata, "attn_logit_softcapping")?;
        spec.logit_softcap = Spec::positive(metadata, "final_logit_softcapping")?;
        spec.read_window(metadata, Some(2))?;
        Ok(spec)
    }
}

impl Architecture for Gemma3 {
    fn names(&self) -> &[&str] {
        &["gemma3"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        const LAYERS_OF_27B: usize = 62;
        let mut spec = gemma(metadata)?;
        scale_scores_of_largest(&mut spec, LAYERS_OF_27B);
        spec.qk_norm = QkNorm::Heads;
        spec.logit_softcap = Spec::positive(metadata, "final_logit_softcapping")?;
        spec.read_window(metadata, Some(6))?;
        let base = Spec::positive(metadata, "rope.freq_base_swa")?;
        let mut local = spec.rope;
        (local.base, local.scaling) = (base.unwrap_or(10_000.0), RopeScaling::None);
        spec.window_rope = Some(local);
        Ok(spec)
    }
}

/// What all share.
fn gemma(metadata: &Metadata) -> Result<Spec, ModelError> {
    let mut spec = Spec::decoder(metadata, RopePairing::Halves)?;
    spec.norms = Norms::Sandwich;
    spec.activation = Activation::GeluTanh;
    spec.embedding_scale = Some((spec.hidden as f32).sqrt());
    Ok(spec)
}

/// The largest model of each, known by its layers, scales scores by features per head of the hidden size; no key says
/// so.
fn scale_scores_of_largest(spec: &mut Spec, layers_of_27b: usize) {
    if spec.layers.len() == layers_of_27b {
        spec.attention_scale = (spec.hidden as f32 / spec.heads as f32).sqrt().recip();
    }
}
