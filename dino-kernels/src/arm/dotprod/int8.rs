//! Int8 layers by `sdot`; the loops are those of [`crate::arm::neon::int8`].

use crate::arm::neon::int8::{self, Word};
use crate::table::{Int8Kernels, Int8Task};
use std::arch::aarch64::*;
use std::arch::asm;

pub(crate) const TABLE: Int8Kernels = Int8Kernels {
    multiply,
    ..int8::TABLE
};

/// By `sdot`: four products of a row in one instruction.
struct Dot;

impl Word for Dot {
    #[inline(always)]
    unsafe fn add(sum: int32x4_t, codes: int8x16_t, x: int8x16_t) -> int32x4_t {
        let mut sum = sum;
        // SAFETY: by the contract. The intrinsics are not stable in Rust, so the assembler has to be told, too.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {codes:v}.16b, {x:v}.16b",
                sum = inout(vreg) sum,
                codes = in(vreg) codes,
                x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }
}

/// See [`crate::scalar::int8::multiply`], whose bits it gives.
#[target_feature(enable = "neon,dotprod")]
fn multiply(task: &Int8Task<'_>) {
    // SAFETY: the feature is enabled.
    unsafe { int8::multiply_by::<Dot>(task) };
}
