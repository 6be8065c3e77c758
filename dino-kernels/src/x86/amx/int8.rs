//! Int8 layers for many rows of input on AMX tiles.
//!
//! 1. Sixteen words of a group, and 64 codes of up to sixteen tokens, are whole tiles as they lie: an instruction multiplies
//!    all of its 64 columns, which the block formats' scales forbid ([`super::linear`]).
//! 2. Sums stay in tiles over all columns. Four groups share each tile of input.
//! 3. Where columns are no whole number of 64, the last 32 have tiles of their own shape.

use super::tiles::int8 as tiles;
use crate::table::{Int8Kernels, Int8Task};
use crate::x86::avx512;
use crate::x86::avx512::linear::LANES;
use std::arch::x86_64::*;

pub(crate) const TABLE: Int8Kernels = Int8Kernels {
    multiply,
    ..avx512::int8::TABLE
};

/// Tokens in a tile.
const TOKENS: usize = 16;
/// Rows of input from which tiles are faster.
const MANY: usize = 16;
/// Groups that share a tile of input.
const GROUPS: usize = 4;

/// See [`crate::scalar::int8::multiply`], whose bits it gives.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn multiply(task: &Int8Task<'_>) {
    if task.input.tokens() < MANY {
        // SAFETY: what AMX's table needs includes AVX-512's features.
        return unsafe { (avx512::int8::TABLE.multiply)(task) };
    }
    let mut index = task.groups.start;
    while index < task.groups.end {
        index += match task.groups.end - index {
            1 => groups::<1>(task, index),
            2 | 3 => groups::<2>(task, index),
            _ => groups::<GROUPS>(task, index),
        };
    }
    // SAFETY: this table is only handed out where tiles are available.
    unsafe { super::tiles::release() };
}

/// `G` groups from `index` on times all tokens; returns `G`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn groups<const G: usize>(task: &Int8Task<'_>, index: usize) -> usize {
    let (mut token, tokens) = (0, task.input.tokens());
    while token < tokens {
        let count = TOKENS.min(tokens - token);
        // SAFETY: this table is only handed out where tiles are available; `multiply` releases them.
        unsafe { tiles::configure(count) };
        tile::<G>(task, index, token, count);
        token += count;
    }
    G
}

/// `G` groups times `count` tokens from `token` on, as many as the tiles are configured for.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn tile<const G: usize>(task: &Int8Task<'_>, index: usize, token: usize, count: usize) {
    let columns = task.weight.columns();
    let groups: [_; G] = std::array::from_fn(|g| task.weight.int8_group(index + g));
    // The rows lie side by side: this is all of them.
    let input = task.input.rows(token, count).as_ptr();
    let mut sums = [Sums([0; TOKENS * LANES]); G];
    // SAFETY: the tiles are configured for `count` tokens, whose rows lie `columns` bytes apart; a group has
    // `columns / 4` words of 64 bytes; sums have room for 16 rows.
    unsafe {
        for g in 0..G {
            tiles::zero(g);
        }
        for column in (0..columns / 64 * 64).step_by(64) {
            tiles::load_input(input.add(column), columns);
            for (g, group) in groups.iter().enumerate() {
                tiles::multiply(g, group.words.as_ptr().add(column * LANES));
            }
        }
        if !columns.is_multiple_of(64) {
            let column = columns / 64 * 64;
            tiles::load_input_end(input.add(column), columns);
            for (g, group) in groups.iter().enumerate() {
                tiles::multiply_end(g, group.words.as_ptr().add(column * LANES));
            }
        }
        for (g, sums) in sums.iter_mut().enumerate() {
            tiles::store(g, sums.0.as_mut_ptr());
        }
    }
    for (g, sums) in sums.iter().enumerate() {
        for (t, sums) in sums.0.chunks_exact(LANES).take(count).enumerate() {
            // SAFETY: the run holds a register.
            let sum = unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) };
            avx512::int8::store(task, index + g, token + t, [[sum]]);
        }
    }
}

/// Integers on cache lines, as tiles store them.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Sums([i32; TOKENS * LANES]);
