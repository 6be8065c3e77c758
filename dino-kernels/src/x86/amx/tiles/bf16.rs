//! Tiles for products of bf16: 0 to 3 hold sums, of the first block of rows (0 and 1, a group each) and the second (2 and 3);
//! 4 and 5 hold the blocks, 6 and 7 the groups.

use super::Config;
use crate::bf16::Bf16Line;
use std::arch::asm;
use std::arch::x86_64::__m512i;

/// Sums of two blocks of rows times two groups, `[2 blocks × 2 groups, 16 rows × 16]`.
#[repr(align(64))]
pub(crate) struct Sums(pub(crate) [[f32; 256]; 4]);

impl Sums {
    pub(crate) const ZERO: Self = Self([[0.0; 256]; 4]);
}

/// What is multiplied.
pub(crate) struct Operands {
    /// Two blocks of rows, `[chunks, height]` lines.
    pub(crate) rows: [*const Bf16Line; 2],
    /// Rows of each.
    pub(crate) heights: [usize; 2],
    /// `[chunks, groups]` tiles.
    pub(crate) panel: *const __m512i,
    /// One or two.
    pub(crate) groups: usize,
    /// Runs of 32 columns, at least one.
    pub(crate) chunks: usize,
}

impl Operands {
    /// From a chunk of the panel to the second group of it, or to the only one, and to the next chunk; in bytes.
    fn steps(&self) -> [usize; 2] {
        assert!(self.chunks > 0 && (1..=2).contains(&self.groups));
        [1024 * (self.groups - 1), 1024 * self.groups]
    }
}

/// Gives the tiles their shapes, for two blocks of 1 to 16 rows, and zeros them.
///
/// # Safety
/// [`are_available`](super::are_available). The thread must [`release`](super::release) the tiles in the end.
#[inline]
pub(crate) unsafe fn configure(heights: [usize; 2]) {
    assert!(
        heights.iter().all(|height| (1..=16).contains(height)),
        "{heights:?} rows of tiles"
    );
    let [first, second] = heights.map(|height| height as u8);
    let rows = [first, first, second, second, first, second, 16, 16];
    // SAFETY: by the contract.
    unsafe { Config::new(([64; 8], rows)).load() };
}

/// Both blocks times the groups.
///
/// # Safety
/// The tiles are configured for the heights, and the operands are as their fields say.
#[inline]
pub(crate) unsafe fn multiply_two(operands: &Operands, sums: &mut Sums) {
    let [second, step] = operands.steps();
    // SAFETY: by the contract; four tiles are what the sums hold.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{first_rows} + {line}]",
            "tileloadd tmm6, [{first_group} + {line}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{second_group} + {line}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{second_rows} + {line}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {first_rows}, {first_height}",
            "add {second_rows}, {second_height}",
            "add {first_group}, {step}",
            "add {second_group}, {step}",
            "dec {chunks}",
            "jnz 2b",
            "tilestored [{sums} + {line}], tmm0",
            "tilestored [{sums} + {line} + 1024], tmm1",
            "tilestored [{sums} + {line} + 2048], tmm2",
            "tilestored [{sums} + {line} + 3072], tmm3",
            first_rows = inout(reg) operands.rows[0] => _,
            second_rows = inout(reg) operands.rows[1] => _,
            first_height = in(reg) 64 * operands.heights[0],
            second_height = in(reg) 64 * operands.heights[1],
            first_group = inout(reg) operands.panel => _,
            second_group = inout(reg) operands.panel.wrapping_byte_add(second) => _,
            step = in(reg) step,
            chunks = inout(reg) operands.chunks => _,
            sums = in(reg) sums.0.as_mut_ptr(),
            line = in(reg) 64_usize,
            options(nostack)
        );
    }
}

/// The first block alone times the groups.
///
/// # Safety
/// As [`multiply_two`].
#[inline]
pub(crate) unsafe fn multiply_one(operands: &Operands, sums: &mut Sums) {
    let [second, step] = operands.steps();
    // SAFETY: by the contract; two tiles are half of what the sums hold.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "2:",
            "tileloadd tmm4, [{rows} + {line}]",
            "tileloadd tmm6, [{first_group} + {line}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{second_group} + {line}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {rows}, {height}",
            "add {first_group}, {step}",
            "add {second_group}, {step}",
            "dec {chunks}",
            "jnz 2b",
            "tilestored [{sums} + {line}], tmm0",
            "tilestored [{sums} + {line} + 1024], tmm1",
            rows = inout(reg) operands.rows[0] => _,
            height = in(reg) 64 * operands.heights[0],
            first_group = inout(reg) operands.panel => _,
            second_group = inout(reg) operands.panel.wrapping_byte_add(second) => _,
            step = in(reg) step,
            chunks = inout(reg) operands.chunks => _,
            sums = in(reg) sums.0.as_mut_ptr(),
            line = in(reg) 64_usize,
            options(nostack)
        );
    }
}
