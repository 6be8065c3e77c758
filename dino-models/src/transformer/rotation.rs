//! Rotary position embedding: the frequencies of a model, and the angles of a pass.

use super::buffers::Rows;
use crate::ModelError;
use crate::arch::{LayerSpec, Loader, RopeScaling, Spec};
use crate::format::Metadata;
use dino_kernels::Compute;
use dino_kernels::ops::{self, RopeAngles, RopeFrequencies, RopePairing};
use std::ops::Range;

/// The rotations of a model.
pub(super) struct Rotation {
    head_dim: usize,
    pairing: RopePairing,
    global: RopeFrequencies,
    /// That of layers with a window, where it differs.
    local: Option<RopeFrequencies>,
}

/// How far the position of each row of a pass turns its queries and keys.
#[derive(Default)]
pub(super) struct Angles {
    global: RopeAngles,
    local: RopeAngles,
}

impl Rotation {
    pub(super) fn load(spec: &Spec, loader: &mut Loader<'_>) -> Result<Self, ModelError> {
        let (mut rope, planes) = (spec.rope, spec.rope.dim / 2);
        let context = loader.context_length().unwrap_or(spec.context_length);
        let mut factors = maybe_factors(loader, "rope_freqs.weight", planes)?;
        // Files of phi3 do not name their scaling: its tensors do.
        let long = maybe_factors(loader, "rope_factors_long.weight", planes)?;
        let named = matches!(rope.scaling, RopeScaling::LongRope { .. });
        if long.is_some() && !named {
            rope.scaling = RopeScaling::LongRope { factor: None };
        }
        if long.is_some() || named {
            let long =
                long.map_or_else(|| loader.vector("rope_factors_long.weight", planes), Ok)?;
            let short = loader.vector("rope_factors_short.weight", planes)?;
            let short = checked(loader.metadata(), "rope_factors_short.weight", short)?;
            factors = Some(if context > rope.original_context {
                long
            } else {
                short
            });
        }
        let local = spec.window_rope;
        Ok(Self {
            head_dim: spec.head_dim,
            pairing: rope.pairing,
            global: rope.frequencies(factors.as_deref(), context),
            local: local.map(|rope| rope.frequencies(None, context)),
        })
    }

    /// Adds the angles of the next rows, which are at `positions`.
    pub(super) fn extend(&self, angles: &mut Angles, positions: Range<usize>) {
        if let Some(local) = &self.local {
            angles.local.extend(local, positions.clone());
        }
        angles.global.extend(&self.global, positions);
    }

    /// Turns the heads of `rows` to their positions, as `layer` does.
    pub(super) fn apply(
        &self,
        compute: &Compute,
        layer: &LayerSpec,
        angles: &Angles,
        rows: [&mut Rows; 2],
    ) {
        if !layer.rotates {
            return;
        }
        let angles = match (&self.local, layer.window) {
            (Some(_), Some(_)) => &angles.local,
            _ => &angles.global,
        };
        for rows in rows {
            ops::rope(
                compute,
                rows.view_mut(),
                self.head_dim,
                self.pairing,
                angles,
            );
        }
    }
}

impl Angles {
    pub(super) fn clear(&mut self) {
        self.global.clear();
        self.local.clear();
    }
}

fn maybe_factors(
    loader: &mut Loader<'_>,
    name: &str,
    planes: usize,
) -> Result<Option<Vec<f32>>, ModelError> {
    let factors = loader.maybe_vector(name, planes)?;
    factors
        .map(|factors| checked(loader.metadata(), name, factors))
        .transpose()
}

/// A factor divides a frequency, so it must be a positive number.
fn checked(metadata: &Metadata, name: &str, factors: Vec<f32>) -> Result<Vec<f32>, ModelError> {
    let bad = factors.iter().find(|f| !(f.is_finite() && **f > 0.0));
    match bad {
        None => Ok(factors),
        Some(factor) => Err(ModelError::Impossible {
            file: metadata.file().to_owned(),
            key: format!("tensor {name}"),
            found: factor.to_string(),
            expected: "positive numbers".into(),
        }),
    }
}
