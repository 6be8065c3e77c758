//! Weights without zeros on 256-bit registers: a table of shuffles, one for each mask of eight bytes.
//!
//! Eight codes at a time are loaded and moved to where their mask has ones; the table gives the order, and names a byte that
//! is not there where the mask has none. Two such orders make one shuffle of 16 bytes.

use super::{LANES, add_signed, add_unsigned};
use crate::packed::{SparseFormat, SparseGroup, with_sparse_format};
use crate::quantized::QuantizedRows;
use crate::table::{Expand, QuantizedTask, SparseKernels};
use crate::x86::ahead::ask_for;
use std::arch::x86_64::*;

/// Bytes of a word of all rows.
const WORD: usize = 4 * LANES;

pub(crate) fn kernels() -> SparseKernels {
    SparseKernels {
        expand,
        few: Some(few),
        pays: [0.0, 0.0],
    }
}

/// For each mask of eight bytes, which code goes where; 0x80 where none does.
static ORDERS: [[u8; 8]; 256] = {
    let mut orders = [[0x80; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut bit, mut place) = (0, 0);
        while bit < 8 {
            if mask >> bit & 1 == 1 {
                orders[mask][bit] = place;
                place += 1;
            }
            bit += 1;
        }
        mask += 1;
    }
    orders
};

/// See [`crate::scalar::sparse::expand`].
#[target_feature(enable = "avx2,popcnt")]
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

#[target_feature(enable = "avx2,popcnt")]
fn expand_as<F: SparseFormat>(group: &SparseGroup<'_>, words: &mut [u8]) {
    let mut at = 0;
    let blocks = words.chunks_exact_mut(F::WORDS * WORD);
    for (block, words) in blocks.take(group.columns / 32).enumerate() {
        // SAFETY: AVX2 is enabled, and the group has this block.
        let codes = unsafe { block_codes::<F>(group, block, &mut at) };
        for (word, to) in words.chunks_exact_mut(WORD).enumerate() {
            let code = if F::NIBBLES {
                _mm256_or_si256(codes[word], _mm256_slli_epi16::<4>(codes[word + 4]))
            } else {
                codes[word]
            };
            // SAFETY: the chunk holds a register.
            unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), code) };
        }
    }
}

/// The eight words of a block, whose codes begin at `at`; moves that to the next block's.
///
/// # Safety
/// AVX2 is enabled.
#[inline(always)]
unsafe fn block_codes<F: SparseFormat>(
    group: &SparseGroup<'_>,
    block: usize,
    at: &mut usize,
) -> [__m256i; 8] {
    // A block of codes none of which is zero; the last load of a word begins eight codes before its end.
    assert!(*at + 8 * WORD <= group.codes.len(), "codes of a block");
    let masks = &group.masks[32 * block..][..32];
    // SAFETY: by the contract; what is loaded was checked above.
    unsafe {
        let mut words = [_mm256_setzero_si256(); 8];
        for (word, mask) in words.iter_mut().zip(masks.as_chunks::<4>().0) {
            let from = group.codes.as_ptr().add(*at);
            *word = if F::NIBBLES {
                nibbles(from, *mask, F::ZERO)
            } else {
                place(from, *mask)
            };
            *at += F::bytes(u32::from_le_bytes(*mask).count_ones());
        }
        words
    }
}

/// The codes from `from` on where `mask` has ones, zero where it has none.
///
/// # Safety
/// AVX2 is enabled; there are 32 bytes at `from`.
#[inline(always)]
unsafe fn place(from: *const u8, mask: [u8; 4]) -> __m256i {
    // SAFETY: by the contract: each load begins at most eight bytes after the one before.
    unsafe {
        let mut at = 0;
        let mut halves = [_mm_setzero_si128(); 2];
        for (half, masks) in halves.iter_mut().zip(mask.as_chunks::<2>().0) {
            let [first, second] = masks.map(usize::from);
            let low = _mm_loadl_epi64(from.add(at).cast());
            at += first.count_ones() as usize;
            let high = _mm_loadl_epi64(from.add(at).cast());
            at += second.count_ones() as usize;
            let order = _mm_unpacklo_epi64(
                _mm_loadl_epi64(ORDERS[first].as_ptr().cast()),
                _mm_loadl_epi64(ORDERS[second].as_ptr().cast()),
            );
            // The second eight come from the upper half; bytes that are not there stay so.
            let upper = _mm_set_epi64x(0x0808_0808_0808_0808, 0);
            let order = _mm_or_si128(order, upper);
            *half = _mm_shuffle_epi8(_mm_unpacklo_epi64(low, high), order);
        }
        _mm256_set_m128i(halves[1], halves[0])
    }
}

/// The same of codes of four bits, and `zero` where `mask` has no ones.
///
/// # Safety
/// AVX2 is enabled; there are 16 bytes at `from`.
#[inline(always)]
unsafe fn nibbles(from: *const u8, mask: [u8; 4], zero: u8) -> __m256i {
    // SAFETY: by the contract; the array holds a register and as much as the last load of `place` may read beyond.
    unsafe {
        let pairs = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast()));
        // 0x00HL to 0x0H0L; what counts from zero moves there, for bytes that are not there become zero.
        let both = _mm256_or_si256(pairs, _mm256_slli_epi16::<4>(pairs));
        let codes = _mm256_and_si256(both, _mm256_set1_epi8(0x0f));
        let zero = _mm256_set1_epi8(zero.cast_signed());
        let mut bytes = [0_u8; 2 * WORD];
        _mm256_storeu_si256(bytes.as_mut_ptr().cast(), _mm256_xor_si256(codes, zero));
        _mm256_xor_si256(place(bytes.as_ptr(), mask), zero)
    }
}

/// See [`super::quantized`]: the same bits.
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn few(task: &QuantizedTask<'_>) {
    with_sparse_format!(task.weight.dtype(), F => few_as::<F>(task), _ => {
        unreachable!("{} is not packed without zeros", task.weight.dtype())
    });
}

#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn few_as<F: SparseFormat>(task: &QuantizedTask<'_>) {
    let tokens = task.input.tokens();
    for index in task.groups.clone() {
        let group = task.weight.sparse_group(index);
        let mut token = 0;
        while token < tokens {
            token += match tokens - token {
                1 => tile::<F, 1>(task, index, &group, token),
                2 | 3 => tile::<F, 2>(task, index, &group, token),
                _ => tile::<F, 4>(task, index, &group, token),
            };
        }
    }
}

/// One group times `T` tokens; returns `T`.
#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn tile<F: SparseFormat, const T: usize>(
    task: &QuantizedTask<'_>,
    index: usize,
    group: &SparseGroup<'_>,
    token: usize,
) -> usize {
    let sums = tile_sums::<F, T>(group, task.input, token);
    for (t, sum) in sums.into_iter().enumerate() {
        let mut values = [0.0; LANES];
        // SAFETY: the array holds a register.
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), sum) };
        // SAFETY: tasks that run at once differ in groups, so in columns.
        unsafe { task.output.put(token + t, index * LANES, &values) };
    }
    T
}

#[target_feature(enable = "avx2,fma,f16c,popcnt")]
fn tile_sums<F: SparseFormat, const T: usize>(
    group: &SparseGroup<'_>,
    input: &QuantizedRows,
    token: usize,
) -> [__m256; T] {
    let rows = input.tile::<T>(token);
    assert_eq!(input.columns(), group.columns, "in_features");
    let mut sums = [_mm256_setzero_ps(); T];
    let mut at = 0;
    let heads = group.heads.chunks_exact(2 * LANES);
    for (block, head) in heads.take(group.columns / 32).enumerate() {
        // As many bytes as half of the codes take: what is asked for twice costs little.
        ask_for(group.codes.as_ptr().wrapping_add(at), F::WORDS * WORD / 2);
        // SAFETY: AVX2, FMA and F16C are enabled; the group has this block, and rows have `columns / 32` of them.
        unsafe {
            let codes = block_codes::<F>(group, block, &mut at);
            let scales = F::scales::<__m256i>(head.as_ptr(), 0);
            let inputs = rows.map(|row| &*row.add(block));
            if F::SIGNED {
                add_signed::<F, T>(&mut sums, &codes, scales, inputs);
            } else {
                let mins = F::mins::<__m256i>(head.as_ptr(), 0);
                for (sum, input) in sums.iter_mut().zip(inputs) {
                    add_unsigned::<F>(sum, &codes, scales, mins, input);
                }
            }
        }
    }
    sums
}
