//! The table's part for rows of f32 values: norms, rotations, softmax, activations, sums, conversions.

use half::{bf16, f16};
use std::fmt;

/// A function that a feed-forward layer applies to each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x · sigmoid(x)`, also called swish (Hendrycks and Gimpel, 2016).
    Silu,
    /// `x · Φ(x)` by the tanh formula that GPT-2 uses.
    GeluTanh,
    /// `x · Φ(x)`, Φ the normal distribution, to 4e-7 of `|x|`.
    GeluErf,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²` (So et al., 2021, "Primer").
    ReluSquared,
}

/// What layer norm multiplies by, adds, and divides safely with.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// One factor a feature.
    pub weight: &'a [f32],
    /// One summand a feature, or none.
    pub bias: Option<&'a [f32]>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// The rotation of one position: `[rotated / 2]` cosines and sines, one pair a plane.
#[derive(Clone, Copy, Debug)]
pub struct Angles<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines.
    pub sin: &'a [f32],
}

/// Functions on rows of f32 values, of one instruction set.
///
/// Sums are taken in an order of each set's own, the same whatever the number of threads.
pub struct VectorKernels {
    pub(crate) rms_norm: unsafe fn(rows: &mut [f32], weight: &[f32], epsilon: f32),
    pub(crate) layer_norm: unsafe fn(rows: &mut [f32], norm: LayerNorm<'_>),
    pub(crate) rope_pairs: unsafe fn(heads: &mut [f32], head_dim: usize, angles: Angles<'_>),
    pub(crate) rope_halves: unsafe fn(heads: &mut [f32], head_dim: usize, angles: Angles<'_>),
    pub(crate) softmax: unsafe fn(row: &mut [f32]),
    pub(crate) activate: unsafe fn(x: &mut [f32], activation: Activation),
    pub(crate) activate_gate: unsafe fn(gate: &mut [f32], up: &[f32], activation: Activation),
    pub(crate) exp: unsafe fn(x: &mut [f32]),
    pub(crate) soft_cap: unsafe fn(x: &mut [f32], cap: f32),
    pub(crate) copy: unsafe fn(x: &mut [f32], y: &[f32]),
    pub(crate) scale: unsafe fn(x: &mut [f32], factor: f32),
    pub(crate) add: unsafe fn(x: &mut [f32], y: &[f32]),
    pub(crate) add_scaled: unsafe fn(x: &mut [f32], y: &[f32], factor: f32),
    pub(crate) dot: unsafe fn(x: &[f32], y: &[f32]) -> f32,
    pub(crate) max: unsafe fn(x: &[f32]) -> f32,
    pub(crate) chances:
        unsafe fn(logits: &[f32], max: f32, temperature: f32, out: &mut [f32]) -> f64,
    pub(crate) widen_f16: unsafe fn(x: &[f16], out: &mut [f32]),
    pub(crate) narrow_f16: unsafe fn(x: &[f32], out: &mut [f16]),
    pub(crate) widen_bf16: unsafe fn(x: &[bf16], out: &mut [f32]),
    pub(crate) narrow_bf16: unsafe fn(x: &[f32], out: &mut [bf16]),
}

impl fmt::Debug for VectorKernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VectorKernels")
    }
}

/// Each method panics if the lengths do not fit together.
///
/// The safety of every call below is the same. The entry needs the features of its table's set, and this
/// table can be reached only after [`Kernels::for_isa`](crate::Kernels::for_isa) found them. Entries have safe
/// signatures: there is nothing else that a caller could break.
impl VectorKernels {
    /// `x · weight / sqrt(mean(x²) + epsilon)` for each of `rows` (Zhang and Sennrich, 2019).
    ///
    /// `rows` is `[tokens, weight.len()]`. (Loaders of models that multiply by `1 + weight` add the one.)
    #[track_caller]
    pub fn rms_norm(&self, rows: &mut [f32], weight: &[f32], epsilon: f32) {
        check_rows(rows.len(), weight.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.rms_norm)(rows, weight, epsilon) }
    }

    /// `(x − mean) · weight / sqrt(variance + epsilon) + bias` for each of `rows` (Ba et al., 2016).
    ///
    /// `rows` is `[tokens, weight.len()]`.
    #[track_caller]
    pub fn layer_norm(&self, rows: &mut [f32], norm: LayerNorm<'_>) {
        check_rows(rows.len(), norm.weight.len());
        if let Some(bias) = norm.bias {
            check_same(bias.len(), norm.weight.len());
        }
        // SAFETY: see the top of this impl.
        unsafe { (self.layer_norm)(rows, norm) }
    }

    /// Rotates consecutive pairs `(x[2i], x[2i + 1])` of each head by the angle i (Su et al., 2021).
    ///
    /// `heads` is `[heads, head_dim]` at one position; features beyond the last pair stay as they are.
    #[track_caller]
    pub fn rope_pairs(&self, heads: &mut [f32], head_dim: usize, angles: Angles<'_>) {
        check_rope(heads.len(), head_dim, angles);
        // SAFETY: see the top of this impl.
        unsafe { (self.rope_pairs)(heads, head_dim, angles) }
    }

    /// Rotates pairs `(x[i], x[i + half])`, `half = cos.len()`, of each head by the angle i (GPT-NeoX).
    ///
    /// `heads` is `[heads, head_dim]` at one position; features from `2 · half` on stay as they are.
    #[track_caller]
    pub fn rope_halves(&self, heads: &mut [f32], head_dim: usize, angles: Angles<'_>) {
        check_rope(heads.len(), head_dim, angles);
        // SAFETY: see the top of this impl.
        unsafe { (self.rope_halves)(heads, head_dim, angles) }
    }

    /// `exp(x − max) / sum` of one row, in place.
    ///
    /// −∞ gives 0. A row with NaN or +∞, or of nothing but −∞, becomes all NaN.
    pub fn softmax(&self, row: &mut [f32]) {
        // SAFETY: see the top of this impl.
        unsafe { (self.softmax)(row) }
    }

    /// Applies `activation` to each value.
    pub fn activate(&self, x: &mut [f32], activation: Activation) {
        // SAFETY: see the top of this impl.
        unsafe { (self.activate)(x, activation) }
    }

    /// `gate = activation(gate) · up` (Shazeer, 2020, "GLU variants").
    #[track_caller]
    pub fn activate_gate(&self, gate: &mut [f32], up: &[f32], activation: Activation) {
        check_same(gate.len(), up.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.activate_gate)(gate, up, activation) }
    }

    /// `e^x` of each value, to 2 units in the last place.
    pub fn exp(&self, x: &mut [f32]) {
        // SAFETY: see the top of this impl.
        unsafe { (self.exp)(x) }
    }

    /// `cap · tanh(x / cap)` of each value (Gemma 2).
    pub fn soft_cap(&self, x: &mut [f32], cap: f32) {
        // SAFETY: see the top of this impl.
        unsafe { (self.soft_cap)(x, cap) }
    }

    /// `x = y`.
    ///
    /// For rows of a few KiB and more: the C library's `memcpy`, which `copy_from_slice` calls, uses a string
    /// instruction for them that is twenty times slower on some processors (AMD Zen 3, glibc 2.36).
    #[track_caller]
    pub fn copy(&self, x: &mut [f32], y: &[f32]) {
        check_same(x.len(), y.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.copy)(x, y) }
    }

    /// `x · factor` of each value.
    pub fn scale(&self, x: &mut [f32], factor: f32) {
        // SAFETY: see the top of this impl.
        unsafe { (self.scale)(x, factor) }
    }

    /// `x += y`.
    #[track_caller]
    pub fn add(&self, x: &mut [f32], y: &[f32]) {
        check_same(x.len(), y.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.add)(x, y) }
    }

    /// `x += factor · y`.
    #[track_caller]
    pub fn add_scaled(&self, x: &mut [f32], y: &[f32], factor: f32) {
        check_same(x.len(), y.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.add_scaled)(x, y, factor) }
    }

    /// The sum of products.
    #[track_caller]
    pub fn dot(&self, x: &[f32], y: &[f32]) -> f32 {
        check_same(x.len(), y.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.dot)(x, y) }
    }

    /// The largest value, NaN passed over; −∞ if there is none.
    pub fn max(&self, x: &[f32]) -> f32 {
        // SAFETY: see the top of this impl.
        unsafe { (self.max)(x) }
    }

    /// The first index of the largest value, NaN passed over; `None` if there is none.
    pub fn argmax(&self, x: &[f32]) -> Option<usize> {
        let max = self.max(x);
        x.iter().position(|&value| value == max)
    }

    /// `exp((logit - max) / temperature)` of each logit, and their sum: chances of tokens, but for the divisor.
    ///
    /// `max` is at least every logit. The same bits on every instruction set, so that a seed gives the same text on all.
    #[track_caller]
    pub fn chances(&self, logits: &[f32], max: f32, temperature: f32, out: &mut [f32]) -> f64 {
        check_same(logits.len(), out.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.chances)(logits, max, temperature, out) }
    }

    /// f16 to f32, exactly.
    #[track_caller]
    pub fn widen_f16(&self, x: &[f16], out: &mut [f32]) {
        check_same(x.len(), out.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.widen_f16)(x, out) }
    }

    /// f32 to f16, rounded to nearest, ties to even; too large becomes infinite.
    #[track_caller]
    pub fn narrow_f16(&self, x: &[f32], out: &mut [f16]) {
        check_same(x.len(), out.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.narrow_f16)(x, out) }
    }

    /// bf16 to f32, exactly.
    #[track_caller]
    pub fn widen_bf16(&self, x: &[bf16], out: &mut [f32]) {
        check_same(x.len(), out.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.widen_bf16)(x, out) }
    }

    /// f32 to bf16, rounded to nearest, ties to even.
    #[track_caller]
    pub fn narrow_bf16(&self, x: &[f32], out: &mut [bf16]) {
        check_same(x.len(), out.len());
        // SAFETY: see the top of this impl.
        unsafe { (self.narrow_bf16)(x, out) }
    }
}

#[track_caller]
fn check_rows(values: usize, features: usize) {
    let whole = if features == 0 {
        values == 0
    } else {
        values.is_multiple_of(features)
    };
    assert!(
        whole,
        "{values} values are no whole number of rows of {features}"
    );
}

#[track_caller]
fn check_same(one: usize, other: usize) {
    assert_eq!(one, other, "lengths differ");
}

#[track_caller]
fn check_rope(values: usize, head_dim: usize, angles: Angles<'_>) {
    check_rows(values, head_dim);
    check_same(angles.cos.len(), angles.sin.len());
    let planes = angles.cos.len();
    assert!(
        planes <= head_dim / 2,
        "{planes} planes do not fit in a head of {head_dim}"
    );
}
