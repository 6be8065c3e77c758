//! What the vector kernels compute, written plainly. Sums are taken in f64.

use super::math::activation;
use crate::table::{Angles, LayerNorm, VectorKernels};
use half::{bf16, f16};

pub(crate) const TABLE: VectorKernels = VectorKernels {
    rms_norm,
    layer_norm,
    rope_pairs,
    rope_halves,
    softmax,
    activate: |x, kind| map(x, |x| activation(x, kind)),
    activate_gate: |gate, up, kind| zip(gate, up, |gate, up| activation(gate, kind) * up),
    exp: |x| map(x, f32::exp),
    soft_cap: |x, cap| map(x, |x| cap * (x / cap).tanh()),
    copy: |x, y| x.copy_from_slice(y),
    scale: |x, factor| map(x, |x| x * factor),
    add: |x, y| zip(x, y, |x, y| x + y),
    add_scaled: |x, y, factor| zip(x, y, |x, y| x + factor * y),
    dot: |x, y| {
        (x.iter().zip(y))
            .map(|(&x, &y)| f64::from(x) * f64::from(y))
            .sum::<f64>() as f32
    },
    max: |x| x.iter().copied().fold(f32::NEG_INFINITY, f32::max),
    chances: super::chances::chances,
    widen_f16: |x, out| convert(x, out, f16::to_f32),
    narrow_f16: |x, out| convert(x, out, f16::from_f32),
    widen_bf16: |x, out| convert(x, out, bf16::to_f32),
    narrow_bf16: |x, out| convert(x, out, bf16::from_f32),
};

fn rms_norm(rows: &mut [f32], weight: &[f32], epsilon: f32) {
    for row in rows.chunks_exact_mut(weight.len().max(1)) {
        let factor = root_mean(row, |x| f64::from(x) * f64::from(x), epsilon);
        zip(row, weight, |x, weight| x * factor * weight);
    }
}

fn layer_norm(rows: &mut [f32], norm: LayerNorm<'_>) {
    for row in rows.chunks_exact_mut(norm.weight.len().max(1)) {
        let mean = row.iter().copied().map(f64::from).sum::<f64>() / row.len() as f64;
        let factor = root_mean(row, |x| (f64::from(x) - mean).powi(2), norm.epsilon);
        zip(row, norm.weight, |x, weight| {
            (x - mean as f32) * factor * weight
        });
        if let Some(bias) = norm.bias {
            zip(row, bias, |x, bias| x + bias);
        }
    }
}

/// `1 / sqrt(mean of f + epsilon)`.
fn root_mean(row: &[f32], f: impl Fn(f32) -> f64, epsilon: f32) -> f32 {
    let mean = row.iter().copied().map(f).sum::<f64>() / row.len() as f64;
    (1.0 / (mean + f64::from(epsilon)).sqrt()) as f32
}

pub(crate) fn rope_pairs(heads: &mut [f32], head_dim: usize, angles: Angles<'_>) {
    for head in heads.chunks_exact_mut(head_dim.max(1)) {
        for (pair, (cos, sin)) in head
            .chunks_exact_mut(2)
            .zip(angles.cos.iter().zip(angles.sin))
        {
            (pair[0], pair[1]) = rotate(pair[0], pair[1], *cos, *sin);
        }
    }
}

fn rope_halves(heads: &mut [f32], head_dim: usize, angles: Angles<'_>) {
    for head in heads.chunks_exact_mut(head_dim.max(1)) {
        let (first, second) = head.split_at_mut(angles.cos.len());
        let pairs = first.iter_mut().zip(second);
        for ((x, y), (cos, sin)) in pairs.zip(angles.cos.iter().zip(angles.sin)) {
            (*x, *y) = rotate(*x, *y, *cos, *sin);
        }
    }
}

fn rotate(x: f32, y: f32, cos: f32, sin: f32) -> (f32, f32) {
    (x * cos - y * sin, y * cos + x * sin)
}

fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    map(row, |x| (x - max).exp());
    let sum: f64 = row.iter().copied().map(f64::from).sum();
    map(row, |x| x * (1.0 / sum) as f32);
}

fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
    x.iter_mut().for_each(|x| *x = f(*x));
}

fn zip(x: &mut [f32], y: &[f32], f: impl Fn(f32, f32) -> f32) {
    x.iter_mut().zip(y).for_each(|(x, &y)| *x = f(*x, y));
}

fn convert<A: Copy, B>(x: &[A], out: &mut [B], f: impl Fn(A) -> B) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = f(x));
}
