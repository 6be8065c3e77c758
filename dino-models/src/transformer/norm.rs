//! Norms: of what a part of a layer reads, of what it adds, of queries and keys, and of what the head reads.

use super::buffers::Rows;
use crate::ModelError;
use crate::arch::{self, Loader, Norms, Spec};
use dino_kernels::ops;
use dino_kernels::{Compute, LayerNorm, QuantizedRows};
use ndarray::{ArrayView2, ArrayViewMut2};

/// A norm and its weights.
#[derive(Debug)]
pub(crate) struct Norm {
    kind: arch::Norm,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    /// Features that are normalised at once: all that there are weights for, or those of a head.
    run: usize,
}

/// What a part of a layer makes of the residual stream before it reads it.
#[derive(Debug)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// A norm.
    Norm(Norm),
    /// The norm of the part before, which has been computed.
    Shared,
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
    pub(crate) fn load(
        kind: arch::Norm,
        loader: &mut Loader<'_>,
        name: &str,
        len: usize,
    ) -> Result<Self, ModelError> {
        let weight = loader.vector(&format!("{name}.weight"), len)?;
        let bias = match kind {
            arch::Norm::Layer { bias: true, .. } => {
                Some(loader.vector(&format!("{name}.bias"), len)?)
            }
            _ => None,
        };
        let run = len;
        Ok(Self {
            kind,
            weight,
            bias,
            run,
        })
    }

    /// The layer norms `name` of heads, with weights of their own, `[heads, head_dim]`, and without bias.
    pub(super) fn load_each_head(
        kind: arch::Norm,
        loader: &mut Loader<'_>,
        name: &str,
        shape: [usize; 2],
    ) -> Result<Self, ModelError> {
        Ok(Self {
            kind: arch::Norm::Layer {
                epsilon: kind.epsilon(),
                bias: false,
            },
            weight: loader.values(&format!("{name}.weight"), &shape)?,
            bias: None,
            run: shape[1],
        })
    }

    /// Normalises `input`, `[tokens, features]`, into `output`.
    pub(super) fn apply_to(
        &self,
        compute: &Compute,
        input: ArrayView2<'_, f32>,
        output: ArrayViewMut2<'_, f32>,
    ) {
        match self.kind {
            arch::Norm::Rms { epsilon } => {
                ops::rms_norm(compute, input, &self.weight, epsilon, output);
            }
            arch::Norm::Layer { epsilon, .. } => {
                ops::layer_norm(compute, input, self.layer_norm(epsilon), output);
            }
        }
    }

    /// As [`Self::apply_to`]; `quantized` then holds what `output` holds.
    pub(super) fn apply_quantized(
        &self,
        compute: &Compute,
        input: ArrayView2<'_, f32>,
        output: ArrayViewMut2<'_, f32>,
        quantized: &mut QuantizedRows,
    ) {
        match self.kind {
            arch::Norm::Rms { epsilon } => {
                let parameters = (&*self.weight, epsilon);
                ops::rms_norm_quantized(compute, input, parameters, output, quantized);
            }
            arch::Norm::Layer { epsilon, .. } => {
                let norm = self.layer_norm(epsilon);
                ops::layer_norm_quantized(compute, input, norm, output, quantized);
            }
        }
    }

    /// Normalises `rows`, run by run, in place.
    pub(crate) fn apply(&self, compute: &Compute, rows: ArrayViewMut2<'_, f32>) {
        match self.kind {
            arch::Norm::Rms { epsilon } => {
                ops::rms_norm_heads(compute, rows, &self.weight, epsilon);
            }
            arch::Norm::Layer { epsilon, .. } => {
                ops::layer_norm_heads(compute, rows, self.layer_norm(epsilon), self.run);
            }
        }
    }

    fn layer_norm(&self, epsilon: f32) -> LayerNorm<'_> {
        LayerNorm {
            weight: &self.weight,
            bias: self.bias.as_deref(),
            epsilon,
        }
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
            Self::Shared => normed.view(),
            Self::Norm(norm) => {
                norm.apply_to(compute, stream.view(), normed.view_mut());
                normed.view()
            }
        }
    }
}

impl PartNorms {
    /// The norms of a part, of which `before` and `after` are the names. Of two parallel parts that share a norm, the
    /// one that is run `first` has it.
    pub(super) fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        [before, after]: [&str; 2],
        first: bool,
    ) -> Result<Self, ModelError> {
        let mut norm = |name| Norm::load(spec.norm, loader, name, spec.hidden);
        let before = match spec.norms {
            Norms::Post => Before::Nothing,
            Norms::ParallelShared if !first => Before::Shared,
            _ => Before::Norm(norm(before)?),
        };
        let after = match spec.norms {
            Norms::Post | Norms::Sandwich => Some(norm(after)?),
            Norms::Pre | Norms::Parallel | Norms::ParallelShared => None,
        };
        Ok(Self { before, after })
    }
}
