//! Mamba and Mamba-2: state spaces, and nothing else.
//!
//! Gu and Dao, arXiv:2312.00752; Dao and Gu, arXiv:2405.21060. References: `MambaForCausalLM`, `FalconMambaForCausalLM`
//! and `Mamba2ForCausalLM` of `transformers`. Files hold A itself where `transformers` has the logarithm of -A.

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

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let scan = SelectiveScanSpec::read(metadata)?;
        state_spaces(metadata, Mixer::SelectiveScan(scan))
    }
}

impl Architecture for Mamba2 {
    fn names(&self) -> &[&str] {
        &["mamba2"]
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
