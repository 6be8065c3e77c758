//! The reference of products of bf16: no set without instructions for them uses it.

use crate::bf16::{Bf16Line, TILE_COLUMNS};
use crate::table::{Bf16Kernels, Bf16Task, Bf16Use};
use half::bf16;

pub(crate) const TABLE: Bf16Kernels = Bf16Kernels {
    round,
    multiply,
    used: Bf16Use::NEVER,
};

/// To the nearest, ties to even.
fn round(source: &[f32], columns: usize, lines: &mut [Bf16Line]) {
    let rows = source.len() / columns;
    for (row, source) in source.chunks_exact(columns).enumerate() {
        for (chunk, source) in source.chunks(TILE_COLUMNS).enumerate() {
            let line = &mut lines[chunk * rows + row].0;
            line.fill(bf16::ZERO);
            for (to, x) in line.iter_mut().zip(source) {
                *to = bf16::from_f32(*x);
            }
        }
    }
}

/// Weights are rounded once they are what their blocks mean; sums are of f32, in the order of the columns.
fn multiply(task: &Bf16Task<'_>) {
    let (weight, lanes) = (task.weight, task.weight.lanes());
    let mut values = vec![0.0; weight.columns()];
    for row in task.groups.start * lanes..(task.groups.end * lanes).min(weight.rows()) {
        weight.unpack_row(row, &mut values);
        for token in 0..task.input.tokens() {
            let products = values.chunks(TILE_COLUMNS).enumerate();
            let products = products.flat_map(|(chunk, values)| {
                let line = task.input.line(token, chunk);
                (values.iter().zip(line)).map(|(w, x)| bf16::from_f32(*w).to_f32() * x.to_f32())
            });
            // SAFETY: tasks that run at once differ in groups, so in columns.
            unsafe { task.output.put(token, row, &[products.sum()]) };
        }
    }
}
