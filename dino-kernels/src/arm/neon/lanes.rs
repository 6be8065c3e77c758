//! Four values at a time, from and to slices of any length.

use std::arch::aarch64::*;
use std::arch::asm;

/// Values in a vector.
pub(crate) const LANES: usize = 4;

/// The values of `x` from `at` on, zeros from its end on.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load(x: &[f32], at: usize) -> float32x4_t {
    load_or(x, at, 0.0)
}

/// The values of `x` from `at` on, `fill` from its end on.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_or(x: &[f32], at: usize, fill: f32) -> float32x4_t {
    let four = part(x, at, fill);
    // SAFETY: an array of four values.
    unsafe { vld1q_f32(four.as_ptr()) }
}

/// Writes `value` to `x` from `at` on, as far as `x` goes.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store(x: &mut [f32], at: usize, value: float32x4_t) {
    let mut four = [0.0; LANES];
    // SAFETY: an array of four values.
    unsafe { vst1q_f32(four.as_mut_ptr(), value) }
    put(x, at, four);
}

/// The 16-bit values of `x` from `at` on, zeros from its end on.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_u16(x: &[u16], at: usize) -> uint16x4_t {
    let four = part(x, at, 0);
    // SAFETY: an array of four values.
    unsafe { vld1_u16(four.as_ptr()) }
}

/// Writes the 16-bit values in `value` to `x` from `at` on, as far as `x` goes.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store_u16(x: &mut [u16], at: usize, value: uint16x4_t) {
    let mut four = [0; LANES];
    // SAFETY: an array of four values.
    unsafe { vst1_u16(four.as_mut_ptr(), value) }
    put(x, at, four);
}

/// Four values; whole ones cost no copy, as compilers see through the array.
#[inline(always)]
fn part<T: Copy>(x: &[T], at: usize, fill: T) -> [T; LANES] {
    let left = x.get(at..).unwrap_or_default();
    left.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [fill; LANES];
        padded[..left.len()].copy_from_slice(left);
        padded
    })
}

#[inline(always)]
fn put<T: Copy>(x: &mut [T], at: usize, four: [T; LANES]) {
    let left = x.get_mut(at..).unwrap_or_default();
    if let Some(whole) = left.first_chunk_mut() {
        *whole = four;
    } else {
        let count = left.len();
        left.copy_from_slice(&four[..count]);
    }
}

/// f16 to f32, exactly. The intrinsic is not stable in Rust.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn widen_f16(x: uint16x4_t) -> float32x4_t {
    let wide;
    // SAFETY: an instruction on registers, which every processor with NEON has.
    unsafe {
        asm!("fcvtl {wide:v}.4s, {x:v}.4h", x = in(vreg) x, wide = lateout(vreg) wide,
            options(pure, nomem, nostack, preserves_flags));
    }
    wide
}

/// f32 to f16, to nearest, ties to even: the rounding that programs start with.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn narrow_f16(x: float32x4_t) -> uint16x4_t {
    let narrow;
    // SAFETY: as above.
    unsafe {
        asm!("fcvtn {narrow:v}.4h, {x:v}.4s", x = in(vreg) x, narrow = lateout(vreg) narrow,
            options(pure, nomem, nostack, preserves_flags));
    }
    narrow
}

/// bf16 to f32, exactly.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn widen_bf16(x: uint16x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vshll_n_u16::<16>(x))
}
