//! Rotary position embedding: the frequencies of a model, and the angles of a pass.

use super::buffers::Rows;
use crate::ModelError;
use crate::arch::{LayerSpec, Loader, Spec};
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
        let factors = loader.maybe_vector("rope_freqs.weight", spec.rope.dim / 2)?;
        check_factors(loader.metadata(), factors.as_deref())?;
        Ok(Self {
            head_dim: spec.head_dim,
            pairing: spec.rope.pairing,
            global: spec.rope.frequencies(factors.as_deref()),
            local: spec.window_rope.map(|rope| rope.frequencies(None)),
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

/// A factor divides a frequency, so it must be a positive number.
fn check_factors(metadata: &Metadata, factors: Option<&[f32]>) -> Result<(), ModelError> {
    let bad = factors
        .unwrap_or_default()
        .iter()
        .find(|f| !(f.is_finite() && **f > 0.0));
    match bad {
        None => Ok(()),
        Some(factor) => Err(ModelError::Impossible {
            file: metadata.file().to_owned(),
            key: "tensor rope_freqs.weight".into(),
            found: factor.to_string(),
            expected: "positive numbers".into(),
        }),
    }
}
