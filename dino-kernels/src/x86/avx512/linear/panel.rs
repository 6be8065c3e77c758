//! Many rows of input: groups are unpacked once, into a panel that all rows pass over.
//!
//! 1. Two groups share each broadcast word of the input. With one, as many words are loaded as products are taken, and
//!    loads are the limit.
//! 2. Four tokens at a time: sixteen registers of codes, eight of sums, and the rest is enough for what is under way.
//! 3. A panel holds codes, scales and minimums of one chunk side by side, in the order in which they are used.

use super::LANES;
use super::products::{Values, add_products, has_minimum, starts};
use crate::packed::Codes;
use crate::quantized::{QuantizedRow, QuantizedRows};
use crate::table::QuantizedTask;
use std::arch::x86_64::*;
use std::cell::RefCell;

/// Groups in a panel.
const GROUPS: usize = 2;
/// Tokens in a tile.
const TOKENS: usize = 4;

thread_local! {
    /// Kept from task to task: a panel is some ten to some hundred KiB.
    pub(crate) static PANEL: RefCell<Vec<__m512i>> = const { RefCell::new(Vec::new()) };
}

/// Registers that 32 values of a group take: codes, scales, minimums.
pub(crate) const fn registers<F: Codes>() -> usize {
    let halves = if F::SPLIT { 2 } else { 1 };
    8 + halves + if has_minimum::<F>() { halves } else { 0 }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(super) fn quantized<F: Codes>(task: &QuantizedTask<'_>) {
    PANEL.with_borrow_mut(|panel| {
        let mut index = task.groups.start;
        while index < task.groups.end {
            index += match task.groups.end - index {
                1 => multiply::<F, 1>(task, index, panel),
                _ => multiply::<F, GROUPS>(task, index, panel),
            };
        }
    });
}

/// `G` groups from `index` on times all tokens; returns `G`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn multiply<F: Codes, const G: usize>(
    task: &QuantizedTask<'_>,
    index: usize,
    panel: &mut Vec<__m512i>,
) -> usize {
    fill::<F, G, false>(task, index, panel);
    let (mut token, tokens) = (0, task.input.tokens());
    while token < tokens {
        token += match tokens - token {
            1 => tile::<F, G, 1>(task, index, panel, token),
            2 | 3 => tile::<F, G, 2>(task, index, panel, token),
            _ => tile::<F, G, TOKENS>(task, index, panel, token),
        };
    }
    G
}

/// Unpacks `G` groups from `index` on, with codes that are unsigned, as `vpdpbusd` wants them, or signed.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
pub(crate) fn fill<F: Codes, const G: usize, const SIGNED: bool>(
    task: &QuantizedTask<'_>,
    index: usize,
    panel: &mut Vec<__m512i>,
) {
    let chunks = task.weight.columns() / 32;
    panel.resize(chunks * G * registers::<F>(), _mm512_setzero_si512());
    for g in 0..G {
        unpack::<F, G, SIGNED>(task, index + g, g, panel);
    }
}

/// Unpacks group `index` to be the one numbered `g` of a panel.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn unpack<F: Codes, const G: usize, const SIGNED: bool>(
    task: &QuantizedTask<'_>,
    index: usize,
    g: usize,
    panel: &mut [__m512i],
) {
    let group = task.weight.quantized_group(index);
    let blocks = group.words.chunks_exact(F::WORDS * 4 * LANES);
    let heads = group.heads.chunks_exact(F::HEAD * LANES);
    let mut places = panel.chunks_exact_mut(registers::<F>()).skip(g).step_by(G);
    for (words, head) in blocks.zip(heads) {
        for (sub, place) in (0..F::SUBS).zip(&mut places) {
            // SAFETY: AVX-512 is enabled; the slices hold one block of 16 rows.
            let values = unsafe {
                let mut values = Values::unpack::<F>(words.as_ptr(), head.as_ptr(), sub);
                values.raise::<F>();
                if SIGNED {
                    values.lower::<F>();
                }
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

/// A panel times `T` tokens; returns `T`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn tile<F: Codes, const G: usize, const T: usize>(
    task: &QuantizedTask<'_>,
    index: usize,
    panel: &[__m512i],
    token: usize,
) -> usize {
    let sums = sums::<F, G, T>(panel, task.input, token);
    for (g, sums) in sums.into_iter().enumerate() {
        for (t, sum) in sums.into_iter().enumerate() {
            let mut values = [0.0; LANES];
            // SAFETY: the array holds a register.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sum) };
            // SAFETY: tasks that run at once differ in groups, so in columns.
            unsafe { task.output.put(token + t, (index + g) * LANES, &values) };
        }
    }
    T
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn sums<F: Codes, const G: usize, const T: usize>(
    panel: &[__m512i],
    input: &QuantizedRows,
    token: usize,
) -> [[__m512; T]; G] {
    let mut rows = [input.row(token); T];
    for (t, row) in rows.iter_mut().enumerate() {
        *row = input.row(token + t);
    }
    let mut sums = [[_mm512_setzero_ps(); T]; G];
    let size = G * registers::<F>();
    for (chunk, panel) in panel
        .chunks_exact(size)
        .take(input.columns() / 32)
        .enumerate()
    {
        for (t, row) in rows.iter().enumerate() {
            // SAFETY: AVX-512 with VNNI is enabled; the panel's chunk holds `G` groups, the row `columns / 32` chunks.
            unsafe {
                let dots = dots::<F, G>(panel, row, chunk);
                for g in 0..G {
                    let group = &panel[g * registers::<F>()..][..registers::<F>()];
                    add_scaled::<F>(&mut sums[g][t], dots[g], group, row, chunk);
                }
            }
        }
    }
    sums
}

/// Integer products of a chunk of `G` groups with one token, summed by halves.
///
/// # Safety
/// AVX-512 with VNNI is enabled, `panel` is a chunk of `G` groups, and `row` has more than `chunk` blocks.
#[inline(always)]
unsafe fn dots<F: Codes, const G: usize>(
    panel: &[__m512i],
    row: &QuantizedRow,
    chunk: usize,
) -> [[__m512i; 2]; G] {
    // SAFETY: by the contract.
    unsafe {
        let mut dots = [starts::<F>(row, chunk, 128); G];
        let input = row.codes.add(32 * chunk);
        for word in 0..8 {
            let x = input.add(4 * word).cast::<i32>().read_unaligned();
            let x = _mm512_set1_epi32(x);
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
/// AVX-512 is enabled, and `row` has more than `chunk` blocks.
#[inline(always)]
pub(crate) unsafe fn add_scaled<F: Codes>(
    sum: &mut __m512,
    dots: [__m512i; 2],
    group: &[__m512i],
    row: &QuantizedRow,
    chunk: usize,
) {
    // SAFETY: by the contract.
    unsafe {
        let at = |index: usize| _mm512_castsi512_ps(group[index.min(registers::<F>() - 1)]);
        let halves = if F::SPLIT { 2 } else { 1 };
        let scales = [at(8), at(7 + halves)];
        let mins = [at(8 + halves), at(7 + 2 * halves)];
        add_products::<F>(sum, dots, scales, mins, row, chunk);
    }
}
