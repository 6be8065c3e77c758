//! The causal convolution that all recurrent kinds of layers begin with.

use super::buffers::Rows;
use super::forward::Context;
use super::mixer::Memory;
use crate::arch::{Bias, Loader};
use crate::{Cache, ModelError};
use dino_kernels::Activation;
use dino_kernels::ops::{self, StateSpan};

/// A convolution over a few tokens, and the state that holds the last of them.
#[derive(Debug)]
pub(super) struct Convolution {
    /// `[taps, channels]`.
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    activation: Option<Activation>,
    state: usize,
}

impl Convolution {
    /// The convolution `name`, of shape `[channels, taps]`.
    pub(super) fn load(
        loader: &mut Loader<'_>,
        name: &str,
        [channels, taps]: [usize; 2],
        bias: Bias,
        memory: &mut Memory,
    ) -> Result<Self, ModelError> {
        let weight = loader.values(&format!("{name}.weight"), &[channels, taps])?;
        Ok(Self {
            weight: transposed(&weight, [channels, taps]),
            bias: loader.bias(name, channels, bias)?,
            activation: None,
            state: memory.state((taps - 1) * channels),
        })
    }

    /// With a SiLU behind it.
    pub(super) fn activated(self) -> Self {
        Self {
            activation: Some(Activation::Silu),
            ..self
        }
    }

    /// Convolves `input`, `[tokens, channels]`, into `output`.
    pub(super) fn apply(
        &self,
        context: &Context<'_>,
        cache: &mut Cache,
        spans: &[StateSpan],
        input: &Rows,
        output: &mut Rows,
    ) {
        let (tokens, channels) = input.view().dim();
        output.resize(tokens, channels);
        let convolution = ops::Convolution {
            weight: &self.weight,
            bias: self.bias.as_deref(),
            activation: self.activation,
        };
        ops::convolve(
            context.compute,
            &convolution,
            spans,
            cache.states_mut(self.state),
            input.view(),
            output.view_mut(),
        );
    }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(super) fn transposed(matrix: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let value = |index: usize| matrix[index % rows * columns + index / rows];
    (0..rows * columns).map(value).collect()
}
