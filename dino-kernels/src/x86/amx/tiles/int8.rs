//! The tiles of int8 layers: 0 to 3 hold sums (`tokens` × 16 words), 4 the input (`tokens` × 64 bytes), 6 weights (16 words of
//! 16 rows); 5 and 7 are half as long as 4 and 6, for the last 32 columns.

use super::Config;
use std::arch::asm;

/// Gives the tiles these shapes, for `tokens` of 1 to 16, and zeros them.
///
/// # Safety
/// [`are_available`](super::are_available). The thread must [`release`](super::release) the tiles in the end.
#[inline]
pub(crate) unsafe fn configure(tokens: usize) {
    assert!((1..=16).contains(&tokens), "{tokens} rows of a tile");
    let tokens = tokens as u8;
    let shapes = (
        [64, 64, 64, 64, 64, 32, 64, 64],
        [tokens, tokens, tokens, tokens, tokens, tokens, 16, 8],
    );
    // SAFETY: by the contract.
    unsafe { Config::new(shapes).load() };
}

/// Runs one instruction on the tile of sums with this number.
macro_rules! on_tile {
    ($tile:expr, $before:literal, $after:literal $(, $($operand:tt)*)?) => {
        match $tile {
            0 => asm!(concat!($before, "tmm0", $after) $(, $($operand)*)?),
            1 => asm!(concat!($before, "tmm1", $after) $(, $($operand)*)?),
            2 => asm!(concat!($before, "tmm2", $after) $(, $($operand)*)?),
            _ => asm!(concat!($before, "tmm3", $after) $(, $($operand)*)?),
        }
    };
}

/// Zeros the sums of group `group`, 0 to 3.
///
/// # Safety
/// The tiles are configured.
#[inline(always)]
pub(crate) unsafe fn zero(group: usize) {
    // SAFETY: by the contract.
    unsafe { on_tile!(group, "tilezero ", "", options(nostack, nomem)) };
}

/// Loads 64 columns of the input, unsigned codes.
///
/// # Safety
/// The tiles are configured; at `codes`, and at as many strides from there as the tiles have tokens, lie 64 bytes.
#[inline(always)]
pub(crate) unsafe fn load_input(codes: *const u8, stride: usize) {
    // SAFETY: by the contract.
    unsafe {
        asm!(
            "tileloadd tmm4, [{codes} + {stride}]",
            codes = in(reg) codes,
            stride = in(reg) stride,
            options(nostack, readonly)
        );
    }
}

/// The same for the last 32 columns.
///
/// # Safety
/// As [`load_input`], of 32 bytes.
#[inline(always)]
pub(crate) unsafe fn load_input_end(codes: *const u8, stride: usize) {
    // SAFETY: by the contract.
    unsafe {
        asm!(
            "tileloadd tmm5, [{codes} + {stride}]",
            codes = in(reg) codes,
            stride = in(reg) stride,
            options(nostack, readonly)
        );
    }
}

/// Adds the products of the input with 64 columns of 16 rows of weights to the sums of a group.
///
/// # Safety
/// The tiles are configured and hold an input; at `words` lie 1024 bytes.
#[inline(always)]
pub(crate) unsafe fn multiply(group: usize, words: *const u8) {
    // SAFETY: by the contract.
    unsafe {
        asm!(
            "tileloadd tmm6, [{words} + {stride}]",
            words = in(reg) words,
            stride = in(reg) 64_usize,
            options(nostack, readonly)
        );
        on_tile!(group, "tdpbusd ", ", tmm4, tmm6", options(nostack, nomem));
    }
}

/// The same for the last 32 columns.
///
/// # Safety
/// As [`multiply`], of 512 bytes and the end of an input.
#[inline(always)]
pub(crate) unsafe fn multiply_end(group: usize, words: *const u8) {
    // SAFETY: by the contract.
    unsafe {
        asm!(
            "tileloadd tmm7, [{words} + {stride}]",
            words = in(reg) words,
            stride = in(reg) 64_usize,
            options(nostack, readonly)
        );
        on_tile!(group, "tdpbusd ", ", tmm5, tmm7", options(nostack, nomem));
    }
}

/// Stores the sums of a group, `[tokens][16]`.
///
/// # Safety
/// The tiles are configured; `sums` has room.
#[inline(always)]
pub(crate) unsafe fn store(group: usize, sums: *mut i32) {
    // SAFETY: by the contract.
    unsafe {
        on_tile!(group, "tilestored [{sums} + {stride}], ", "",
            sums = in(reg) sums, stride = in(reg) 64_usize, options(nostack));
    }
}
