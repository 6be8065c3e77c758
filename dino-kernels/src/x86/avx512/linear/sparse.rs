//! Weights without zeros: `vpexpandb` puts the codes of a word of 16 rows where they belong, a mask of 64 bits says where.
//!
//! What costs is the expansion, not memory any more; where the next word's codes begin depends on the mask alone, so that
//! the loads of many words are under way at once. Products are those of dense weights, in their order.

use super::products::{Values, raised, unrolled};
use super::{LANES, MOST};
use crate::packed::{SparseFormat, SparseGroup, with_sparse_format};
use crate::quantized::QuantizedRows;
use crate::scalar;
use crate::table::{Expand, QuantizedTask, SparseKernels};
use crate::x86::ahead::{AHEAD, ask_at};
use std::arch::x86_64::*;
use std::ops::Range;

/// Bytes of a word of all rows.
const WORD: usize = 4 * LANES;
/// Words of a block.
const WORDS: usize = 8;

/// What this processor has; some that have VNNI cannot expand bytes.
pub(crate) fn kernels() -> SparseKernels {
    if !is_x86_feature_detected!("avx512vbmi2") {
        return scalar::sparse::kernels();
    }
    SparseKernels {
        expand,
        few: Some(few),
        pays: [0.7, 0.0],
    }
}

/// See [`scalar::sparse::expand`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,popcnt")]
fn expand(task: Expand<'_, '_>) {
    let Expand {
        dtype,
        group,
        words,
    } = task;
    with_sparse_format!(dtype, F => expand_as::<F>(group, words), _ => {
        unreachable!("{dtype} is not packed without zeros")
    });
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,popcnt")]
fn expand_as<F: SparseFormat>(group: &SparseGroup<'_>, words: &mut [u8]) {
    let mut at = 0;
    let blocks = words.chunks_exact_mut(F::WORDS * WORD);
    for (block, words) in blocks.take(group.columns / 32).enumerate() {
        // SAFETY: AVX-512 with VBMI2 is enabled, and the group has this block.
        let codes = unsafe { block_codes::<F>(group, block, &mut at) };
        for (word, to) in words.chunks_exact_mut(WORD).enumerate() {
            let code = if F::NIBBLES {
                _mm512_or_si512(codes[word], _mm512_slli_epi16::<4>(codes[word + 4]))
            } else {
                codes[word]
            };
            // SAFETY: the chunk holds a register.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), code) };
        }
    }
}

/// The eight words of a block, whose codes begin at `at`; moves that to the next block's.
///
/// # Safety
/// AVX-512 with VBMI2 is enabled.
#[inline(always)]
unsafe fn block_codes<F: SparseFormat>(
    group: &SparseGroup<'_>,
    block: usize,
    at: &mut usize,
) -> [__m512i; 8] {
    // A block of codes none of which is zero, and a word more that is loaded and not used.
    let room = if F::NIBBLES { 9 * WORD / 2 } else { 8 * WORD };
    assert!(*at + room <= group.codes.len(), "codes of a block");
    let masks = &group.masks[64 * block..][..64];
    // SAFETY: by the contract; what is loaded was checked above.
    unsafe {
        let mut words = [_mm512_setzero_si512(); 8];
        for (word, mask) in words.iter_mut().zip(masks.as_chunks::<8>().0) {
            let mask = u64::from_le_bytes(*mask);
            let from = group.codes.as_ptr().add(*at);
            *word = if F::NIBBLES {
                let pairs = _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast()));
                // 0x00HL to 0x0H0L.
                let both = _mm512_or_si512(pairs, _mm512_slli_epi16::<4>(pairs));
                let codes = _mm512_and_si512(both, _mm512_set1_epi8(0x0f));
                _mm512_mask_expand_epi8(_mm512_set1_epi8(F::ZERO.cast_signed()), mask, codes)
            } else {
                _mm512_maskz_expand_epi8(mask, _mm512_loadu_si512(from.cast()))
            };
            *at += F::bytes(mask.count_ones());
        }
        words
    }
}

/// See [`super::quantized`]: the same bits.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi2,avx2,fma,f16c,bmi1,bmi2,popcnt"
)]
fn few(task: &QuantizedTask<'_>) {
    with_sparse_format!(task.weight.dtype(), F => few_as::<F>(task), _ => {
        unreachable!("{} is not packed without zeros", task.weight.dtype())
    });
}

#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi2,avx2,fma,f16c,bmi1,bmi2,popcnt"
)]
fn few_as<F: SparseFormat>(task: &QuantizedTask<'_>) {
    let tokens = task.input.tokens();
    for index in task.groups.clone() {
        let group = task.weight.sparse_group(index);
        let mut token = 0;
        while token < tokens {
            let rest = tokens - token;
            let count = rest.div_ceil(rest.div_ceil(MOST));
            let at = (index, token..token + count);
            match count {
                1 => tile::<F, 1>(task, &group, at),
                2 => tile::<F, 2>(task, &group, at),
                3 | 4 => tile::<F, 4>(task, &group, at),
                _ => tile::<F, MOST>(task, &group, at),
            }
            token += count;
        }
    }
}

/// Group `index` times `tokens`, of which there are at most `T`.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi2,avx2,fma,f16c,bmi1,bmi2,popcnt"
)]
fn tile<F: SparseFormat, const T: usize>(
    task: &QuantizedTask<'_>,
    group: &SparseGroup<'_>,
    (index, tokens): (usize, Range<usize>),
) {
    let sums = tile_sums::<F, T>(group, task.input, tokens.start);
    for (token, sum) in tokens.zip(sums) {
        let mut values = [0.0; LANES];
        // SAFETY: the array holds a register.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sum) };
        // SAFETY: tasks that run at once differ in groups, so in columns.
        unsafe { task.output.put(token, index * LANES, &values) };
    }
}

/// Asks for codes some way behind `at`, and for a block's share of the next group's masks and heads.
///
/// Masks and heads of a group come before its codes, so that what lies ahead of the last codes begins behind those.
/// Codes are asked for as if none of a block were zero: what is asked for twice costs little.
#[inline(always)]
fn ask_ahead<F: SparseFormat>(group: &SparseGroup<'_>, block: usize, at: usize) {
    let (masks, heads) = (WORD * WORDS / 8, 2 * LANES);
    let next = group.codes.as_ptr().wrapping_add(group.own);
    ask_at(next.wrapping_add((masks + heads) * block), masks + heads);
    let more = if at + AHEAD < group.own {
        0
    } else {
        group.masks.len() + group.heads.len()
    };
    let codes = group.codes.as_ptr().wrapping_add(at + AHEAD + more);
    ask_at(codes, F::WORDS * WORD);
}

#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi2,avx2,fma,f16c,bmi1,bmi2,popcnt"
)]
fn tile_sums<F: SparseFormat, const T: usize>(
    group: &SparseGroup<'_>,
    input: &QuantizedRows,
    token: usize,
) -> [__m512; T] {
    let rows = input.tile::<T>(token);
    assert_eq!(input.columns(), group.columns, "in_features");
    let mut sums = [_mm512_setzero_ps(); T];
    let mut at = 0;
    let heads = group.heads.chunks_exact(2 * LANES);
    for (block, head) in heads.take(group.columns / 32).enumerate() {
        ask_ahead::<F>(group, block, at);
        // SAFETY: AVX-512 with VNNI and VBMI2 is enabled; the group has this block, and rows have `columns / 32` of them.
        unsafe {
            let codes = block_codes::<F>(group, block, &mut at);
            let values = Values::of_codes::<F>(codes, head.as_ptr());
            unrolled!(t < T, {
                values.add::<F>(&mut sums[t], &*rows[t].add(block), raised::<F>());
            });
        }
    }
    sums
}
