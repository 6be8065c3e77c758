//! Linear layers by `sdot`; the loops are those of [`crate::arm::neon::linear`].

use crate::arm::neon::linear::{self, Products};
use crate::packed::Codes;
use crate::table::{LinearKernels, QuantizedTask};
use std::arch::aarch64::*;
use std::arch::asm;

pub(crate) const TABLE: LinearKernels = LinearKernels {
    quantized,
    ..linear::TABLE
};

/// By `sdot`, which takes the word of the input from where it lies in its register.
struct Dot;

impl Products for Dot {
    #[inline(always)]
    unsafe fn sum<F: Codes>(codes: &[uint32x4_t], x: int8x16_t) -> int32x4_t {
        // SAFETY: by the contract. The intrinsics are not stable in Rust, so the assembler has to be told, too.
        unsafe {
            let mut sum = vdupq_n_s32(0);
            asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {a:v}.16b, {x:v}.4b[0]",
                "sdot {sum:v}.4s, {b:v}.16b, {x:v}.4b[1]",
                "sdot {sum:v}.4s, {c:v}.16b, {x:v}.4b[2]",
                "sdot {sum:v}.4s, {d:v}.16b, {x:v}.4b[3]",
                sum = inout(vreg) sum,
                a = in(vreg) codes[0],
                b = in(vreg) codes[1],
                c = in(vreg) codes[2],
                d = in(vreg) codes[3],
                x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags),
            );
            sum
        }
    }
}

/// See [`crate::scalar::linear::quantized`]; integer sums are the same, f32 sums differ in order.
#[target_feature(enable = "neon,dotprod")]
fn quantized(task: &QuantizedTask<'_>) {
    // SAFETY: the feature is enabled.
    unsafe { linear::quantized_by::<Dot>(task) };
}
