//! Operations between the matrix products, one row at a time.
use crate::Compute;
use dino_core::{Tensor, blocks};
use ndarray::{ArrayView2, ArrayViewMut2};
pub fn rms_norm(
    _: &Compute,
    x: ArrayView2<'_, f32>,
    w: &[f32],
    eps: f32,
    mut out: ArrayViewMut2<'_, f32>,
) {
    for (x, mut o) in x.rows().into_iter().zip(out.rows_mut()) {
        let ms = x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
        let inv = 1.0 / (ms + eps).sqrt();
        for ((o, v), w) in o.iter_mut().zip(x).zip(w) {
            *o = v * inv * w;
        }
    }
}
pub fn embed(
    _: &Compute,
    t: &Tensor,
    tokens: &[u32],
    mut out: ArrayViewMut2<'_, f32>,
) -> Result<(), crate::KernelError> {
    for (t_id, mut o) in tokens.iter().zip(out.rows_mut()) {
        blocks::dequantize(t.dtype(), t.row(*t_id as usize), o.as_slice_mut().unwrap());
    }
    Ok(())
}
pub struct Rope {
    pub head_dim: usize,
    pub halves: bool,
    pub frequencies: Vec<f64>,
}
pub fn rope(_: &Compute, r: &Rope, pos: &[usize], mut x: ArrayViewMut2<'_, f32>) {
    for (p, mut row) in pos.iter().zip(x.rows_mut()) {
        let row = row.as_slice_mut().unwrap();
        for head in row.chunks_exact_mut(r.head_dim) {
            for (i, f) in r.frequencies.iter().enumerate() {
                let (s, c) = (*p as f64 * f).sin_cos();
                let (s, c) = (s as f32, c as f32);
                let (a, b) = if r.halves {
                    (i, i + r.frequencies.len())
                } else {
                    (2 * i, 2 * i + 1)
                };
                let (x, y) = (head[a], head[b]);
                head[a] = x * c - y * s;
                head[b] = x * s + y * c;
            }
        }
    }
}
pub fn silu_mul(_: &Compute, mut g: ArrayViewMut2<'_, f32>, u: ArrayView2<'_, f32>) {
    for (g, u) in g.iter_mut().zip(u.iter()) {
        *g = *g / (1.0 + (-*g).exp()) * u;
    }
}
