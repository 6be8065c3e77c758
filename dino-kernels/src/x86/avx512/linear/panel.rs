//! Many rows of input: groups are unpacked once, into a panel that all rows pass over.
//!
//! 1. Two groups share each broadcast word of the input. With one, as many words are loaded as products are taken, and
//!    loads are the limit.
//! 2. Four tokens at a time: sixteen registers of codes, eight of sums, and the rest is enough for what is under way.
//! 3. A panel holds codes, scales and minimums of one chunk side by side, in the order in which they are used.
//! 4. A panel is as many columns as the first-level cache holds beside the rows; sums wait in memory for the next columns.
//!    From the second level, a tile would read more bytes than it has time for.

use super::products::{Values, add_products, finish, has_minimum, starts, unrolled};
use super::{LANES, PANELS};
use crate::packed::Codes;
use crate::quantized::InputBlock;
use crate::table::QuantizedTask;
use crate::x86::ahead::ask_ahead;
use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

/// Groups in a panel.
const GROUPS: usize = 2;
/// Tokens in a tile.
const TOKENS: usize = 4;

/// What a thread works in, kept from task to task.
#[derive(Default)]
struct Scratch {
    /// `[chunks, groups, registers]`: codes, scales and minimums.
    panel: Vec<__m512i>,
    /// `[tiles, groups, tokens]`.
    sums: Vec<[[__m512; TOKENS]; GROUPS]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const {
        RefCell::new(Scratch { panel: Vec::new(), sums: Vec::new() })
    };
}

/// Registers that 32 values of a group take: codes, scales, minimums.
const fn registers<F: Codes>() -> usize {
    let halves = if F::SPLIT { 2 } else { 1 };
    8 + halves + if has_minimum::<F>() { halves } else { 0 }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(super) fn quantized<F: Codes>(task: &QuantizedTask<'_>) {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut index = task.groups.start;
        while index < task.groups.end {
            index += match task.groups.end - index {
                1 => multiply::<F, 1>(task, index, scratch),
                _ => multiply::<F, GROUPS>(task, index, scratch),
            };
        }
    });
}

/// `G` groups from `index` on times all tokens; returns `G`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn multiply<F: Codes, const G: usize>(
    task: &QuantizedTask<'_>,
    index: usize,
    Scratch { panel, sums }: &mut Scratch,
) -> usize {
    let blocks = task.weight.columns() / F::LEN;
    let bytes = task.tuning.panels.unwrap_or(PANELS).bytes;
    let most = bytes / (64 * GROUPS * registers::<F>()) / F::SUBS;
    let step = blocks.div_ceil(blocks.div_ceil(most.max(1)).max(1)).max(1);
    let tiles = task.input.tokens().div_ceil(TOKENS);
    sums.resize(tiles, [[_mm512_setzero_ps(); TOKENS]; GROUPS]);
    for first in (0..blocks.max(1)).step_by(step) {
        let blocks = first..(first + step).min(blocks);
        let is_last = blocks.end * F::LEN == task.weight.columns();
        fill::<F, G>(task, index, blocks.clone(), panel);
        for (tile, sums) in sums.iter_mut().enumerate() {
            let rows = task.input.tile::<TOKENS>(TOKENS * tile);
            // SAFETY: rows have as many blocks as the weight has chunks of 32 columns.
            let rows = rows.map(|row| unsafe { row.add(blocks.start * F::SUBS) });
            let mut tile_sums = [[_mm512_setzero_ps(); TOKENS]; G];
            if first > 0 {
                tile_sums.copy_from_slice(&sums[..G]);
            }
            // SAFETY: AVX-512 with VNNI is enabled; the panel holds these chunks.
            let tile_sums = unsafe { add_tile::<F, G>(panel, rows, tile_sums) };
            if is_last {
                put_tile(task, index, TOKENS * tile, &tile_sums);
            } else {
                sums[..G].copy_from_slice(&tile_sums);
            }
        }
    }
    G
}

/// Puts the sums of [`TOKENS`] tokens from `first` on, as far as there are such, where they belong.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn put_tile(task: &QuantizedTask<'_>, index: usize, first: usize, sums: &[[__m512; TOKENS]]) {
    for (g, sums) in sums.iter().enumerate() {
        for (token, sum) in (first..task.input.tokens()).zip(sums) {
            let mut values = [0.0; LANES];
            // SAFETY: the array holds a register.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), *sum) };
            // SAFETY: tasks that run at once differ in groups, so in columns.
            unsafe { task.output.put(token, (index + g) * LANES, &values) };
        }
    }
}

/// Unpacks some blocks of `G` groups from `index` on.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn fill<F: Codes, const G: usize>(
    task: &QuantizedTask<'_>,
    index: usize,
    blocks: Range<usize>,
    panel: &mut Vec<__m512i>,
) {
    let chunks = blocks.len() * F::SUBS;
    panel.resize(chunks * G * registers::<F>(), _mm512_setzero_si512());
    for g in 0..G {
        let places = panel.chunks_exact_mut(registers::<F>()).skip(g).step_by(G);
        unpack::<F>(task, index + g, blocks.clone(), places);
    }
}

/// Unpacks some blocks of group `index` to `places`, one for each chunk.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn unpack<'a, F: Codes>(
    task: &QuantizedTask<'_>,
    index: usize,
    blocks: Range<usize>,
    mut places: impl Iterator<Item = &'a mut [__m512i]>,
) {
    let group = task.weight.quantized_group(index);
    let (first, count) = (blocks.start, blocks.len());
    let words = group.words.chunks_exact(F::WORDS * 4 * LANES);
    let heads = group.heads.chunks_exact(F::HEAD * LANES);
    for (words, head) in words.zip(heads).skip(first).take(count) {
        for (sub, place) in (0..F::SUBS).zip(&mut places) {
            ask_ahead::<F>(words.as_ptr(), head.as_ptr(), sub, LANES);
            // SAFETY: AVX-512 is enabled; the slices hold one block of 16 rows.
            let values = unsafe {
                let mut values = Values::unpack::<F>(words.as_ptr(), head.as_ptr(), sub);
                values.raise::<F>();
                values
            };
            let halves = if F::SPLIT { 2 } else { 1 };
            let (codes, factors) = place.split_at_mut(8);
            codes.copy_from_slice(&values.codes);
            let numbers = values.scales[..halves].iter().chain(&values.mins[..halves]);
            for (place, number) in factors.iter_mut().zip(numbers) {
                *place = _mm512_castps_si512(*number);
            }
        }
    }
}

/// `sums` and a panel times [`TOKENS`] rows.
///
/// # Safety
/// AVX-512 with VNNI is enabled, and rows have as many blocks as the panel has chunks.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
unsafe fn add_tile<F: Codes, const G: usize>(
    panel: &[__m512i],
    rows: [*const InputBlock; TOKENS],
    mut sums: [[__m512; TOKENS]; G],
) -> [[__m512; TOKENS]; G] {
    for (chunk, panel) in panel.chunks_exact(G * registers::<F>()).enumerate() {
        unrolled!(t < TOKENS, {
            // SAFETY: by the contract.
            let input = unsafe { &*rows[t].add(chunk) };
            // SAFETY: by the contract.
            let dots = unsafe { dots::<F, G>(panel, input) };
            for g in 0..G {
                let group = &panel[g * registers::<F>()..][..registers::<F>()];
                // SAFETY: by the contract.
                unsafe { add_scaled::<F>(&mut sums[g][t], dots[g], group, input) };
            }
            finish!(sums[G - 1][t]);
        });
    }
    sums
}

/// Integer products of a chunk of `G` groups with a block of one token, summed by halves.
///
/// # Safety
/// AVX-512 with VNNI is enabled, and `panel` is a chunk of `G` groups.
#[inline(always)]
unsafe fn dots<F: Codes, const G: usize>(
    panel: &[__m512i],
    input: &InputBlock,
) -> [[__m512i; 2]; G] {
    // SAFETY: by the contract; eight words are the codes of a block.
    unsafe {
        let mut dots = [starts::<F>(input, 128); G];
        let words = input.codes.as_ptr().cast::<i32>();
        for word in 0..8 {
            let x = _mm512_set1_epi32(words.add(word).read());
            for g in 0..G {
                let code = panel[g * registers::<F>() + word];
                dots[g][word / 4] = _mm512_dpbusd_epi32(dots[g][word / 4], code, x);
            }
        }
        dots
    }
}

/// Adds `dots`, with the scales and minimums of a group in a panel's chunk.
///
/// # Safety
/// AVX-512 is enabled.
#[inline(always)]
unsafe fn add_scaled<F: Codes>(
    sum: &mut __m512,
    dots: [__m512i; 2],
    group: &[__m512i],
    input: &InputBlock,
) {
    // SAFETY: by the contract.
    unsafe {
        let at = |index: usize| _mm512_castsi512_ps(group[index.min(registers::<F>() - 1)]);
        let halves = if F::SPLIT { 2 } else { 1 };
        let scales = [at(8), at(7 + halves)];
        let mins = [at(8 + halves), at(7 + 2 * halves)];
        add_products::<F>(sum, dots, scales, mins, input);
    }
}
