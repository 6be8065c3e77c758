//! Norms: of what a part of a layer reads, of what it adds, of queries and keys, and of what the head reads.

use super::buffers::Rows;
use crate::ModelError;
use crate::arch::{self, Loader, Norms, Spec};
use dino_kernels::Compute;
use dino_kernels::ops;
use ndarray::{ArrayView2, ArrayViewMut2};

/// A norm and its weights.
#[derive(Debug)]
pub(super) struct Norm {
    kind: arch::Norm,
    /// As long as what is normalised at once.
    weight: Vec<f32>,
}

/// What a part of a layer makes of the residual stream before it reads it.
#[derive(Debug)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// A norm.
    Norm(Norm),
}

/// The norms of one part of a layer.
#[derive(Debug)]
pub(super) struct PartNorms {
    pub(super) before: Before,
    /// Of what the part adds to the residual stream.
    pub(super) after: Option<Norm>,
}

impl Norm {
    /// The norm `name` of `len` features.
    pub(super) fn load(
        kind: arch::Norm,
        loader: &mut Loader<'_>,
        name: &str,
        len: usize,
    ) -> Result<Self, ModelError> {
        let weight = loader.vector(&format!("{name}.weight"), len)?;
        Ok(Self { kind, weight })
    }

    /// Normalises `input`, `[tokens, features]`, into `output`.
    pub(super) fn apply_to(
        &self,
        compute: &Compute,
        input: ArrayView2<'_, f32>,
        output: ArrayViewMut2<'_, f32>,
    ) {
        let arch::Norm::Rms { epsilon } = self.kind;
        ops::rms_norm(compute, input, &self.weight, epsilon, output);
    }

    /// Normalises each run of as many features as there are weights, in place.
    pub(super) fn apply(&self, compute: &Compute, rows: ArrayViewMut2<'_, f32>) {
        let arch::Norm::Rms { epsilon } = self.kind;
        ops::rms_norm_heads(compute, rows, &self.weight, epsilon);
    }
}

impl Before {
    /// What the part reads: `stream` itself, or what `normed` then holds.
    pub(super) fn read<'a>(
        &self,
        compute: &Compute,
        stream: &'a Rows,
        normed: &'a mut Rows,
    ) -> ArrayView2<'a, f32> {
        match self {
            Self::Nothing => stream.view(),
            Self::Norm(norm) => {
                norm.apply_to(compute, stream.view(), normed.view_mut());
                normed.view()
            }
        }
    }
}

impl PartNorms {
    /// The norms of a part, of which `before` and `after` are the names.
    pub(super) fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        before: &str,
        after: &str,
    ) -> Result<Self, ModelError> {
        let mut norm = |name| Norm::load(spec.norm, loader, name, spec.hidden);
        Ok(match spec.norms {
            Norms::Pre => Self {
                before: Before::Norm(norm(before)?),
                after: None,
            },
            Norms::Post => Self {
                before: Before::Nothing,
                after: Some(norm(after)?),
            },
            Norms::Sandwich => Self {
                before: Before::Norm(norm(before)?),
                after: Some(norm(after)?),
            },
        })
    }
}
