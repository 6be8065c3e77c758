//! Products of bf16 for many rows of input on AMX tiles.
//!
//! 1. Any type becomes a panel of bf16 once for all rows of the pass ([`panel`]): of two groups, all columns, which the
//!    second-level cache holds. Input rows lie in tiles already ([`Bf16Rows`](crate::Bf16Rows)). Nothing else is copied or turned.
//! 2. Two blocks of 16 rows times two groups: four tiles of sums, each loaded tile is used twice, and four products wait for
//!    none of the others.
//! 3. Sums stay in tiles over all columns, and go through a buffer of 4 KiB to the output.
//! 4. Tiles add in another order than `vdpbf16ps` does, so these bits are not AVX-512's.

use super::tiles;
use super::tiles::bf16::{Operands, Sums};
use crate::bf16::TILE_ROWS;
use crate::table::{Bf16Kernels, Bf16Task, Bf16Use};
use crate::x86::avx512::bf16::panel::{self, PANEL};
use crate::x86::avx512::bf16::{self as vectors, GROUPS};
use crate::x86::avx512::linear::LANES;
use std::arch::x86_64::__m512i;

/// For weights of all types, where rows are many.
pub(crate) const TABLE: Bf16Kernels = Bf16Kernels {
    multiply,
    used: Bf16Use::MANY,
    ..vectors::TABLE
};

/// Rows of input from which tiles are faster.
const MANY: usize = 16;

/// See [`crate::scalar::bf16`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn multiply(task: &Bf16Task<'_>) {
    if task.input.tokens() < MANY || task.input.columns() == 0 {
        return vectors::multiply(task);
    }
    PANEL.with_borrow_mut(|panel| {
        let mut index = task.groups.start;
        while index < task.groups.end {
            index += match task.groups.end - index {
                1 => groups::<1>(task, index, panel),
                _ => groups::<GROUPS>(task, index, panel),
            };
        }
    });
    // SAFETY: this table is only handed out where tiles are available.
    unsafe { tiles::release() };
}

/// `G` groups from `index` on times all rows; returns `G`.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn groups<const G: usize>(task: &Bf16Task<'_>, index: usize, panel: &mut Vec<__m512i>) -> usize {
    panel::fill::<G>(task.weight, index, panel);
    let blocks = task.input.blocks();
    let mut sums = Sums::ZERO;
    for first in (0..blocks).step_by(2) {
        let blocks = first..blocks.min(first + 2);
        let shape = [blocks.start, blocks.end - 1].map(|block| task.input.block(block));
        // SAFETY: this table is only handed out where tiles are available; `multiply` releases them. Blocks have as many
        // lines a chunk as rows; the panel has `G` tiles a chunk.
        unsafe {
            tiles::bf16::configure(shape.each_ref().map(|(rows, _)| rows.len()));
            let operands = Operands {
                rows: shape.each_ref().map(|(_, lines)| *lines),
                heights: shape.each_ref().map(|(rows, _)| rows.len()),
                panel: panel.as_ptr(),
                groups: G,
                chunks: task.input.chunks(),
            };
            if blocks.len() == 2 {
                tiles::bf16::multiply_two(&operands, &mut sums);
            } else {
                tiles::bf16::multiply_one(&operands, &mut sums);
            }
        }
        for (block, (rows, _)) in shape.iter().enumerate().take(blocks.len()) {
            for (row, token) in rows.clone().enumerate() {
                for g in 0..G {
                    let values = &sums.0[2 * block + g][row * LANES..][..LANES];
                    // SAFETY: tasks that run at once differ in groups, so in columns.
                    unsafe { task.output.put(token, (index + g) * LANES, values) };
                }
            }
        }
    }
    G
}

const _: () = assert!(TILE_ROWS == 16 && GROUPS == 2, "two by two tiles");
