//! Products of bf16 (AVX-512 BF16): `vdpbf16ps` adds the products of a pair of columns of 16 rows to f32 sums.
//!
//! 1. Twice as many products an instruction as f32 has, for rounding what is multiplied to 8 bits of mantissa.
//! 2. Few rows of input meet weights of BF16 as they are stored: a register of two columns is turned to pairs by one instruction.
//!    Many, and weights of all other types, go through a panel that is unpacked once ([`panel`]).
//! 3. An output is one sum in the order of the columns on both ways, so its bits do not depend on how many rows share a pass.

pub(crate) mod panel;

use super::linear::LANES;
use super::linear::unrolled;
use crate::bf16::{Bf16Line, TILE_COLUMNS};
use crate::packed::FloatGroup;
use crate::table::{Bf16Kernels, Bf16Task, Bf16Use};
use crate::x86::ahead::ask_for;
use dino_core::DType;
use half::bf16;
use panel::{PAIRS, PANEL};
use std::arch::x86_64::*;

/// For weights of BF16.
pub(crate) const TABLE: Bf16Kernels = Bf16Kernels {
    round,
    multiply,
    used: Bf16Use::OWN,
};

/// Groups that share what is read of the input.
pub(crate) const GROUPS: usize = 2;
/// Rows of input that share what is read of the weight.
const MOST: usize = 8;
/// Rows of input from which a panel is faster than turning weights of BF16 for every [`MOST`] of them.
const MANY: usize = 17;

#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn round(source: &[f32], columns: usize, lines: &mut [Bf16Line]) {
    let rows = source.len() / columns;
    for (row, source) in source.chunks_exact(columns).enumerate() {
        for chunk in 0..columns.div_ceil(TILE_COLUMNS) {
            let line = &mut lines[chunk * rows + row];
            let [first, second] = [0, LANES].map(|half| TILE_COLUMNS * chunk + half);
            let first = super::lanes::load(source, first);
            let second = super::lanes::load(source, second);
            // SAFETY: the line holds 512 bits; the two types are bits alike.
            unsafe {
                let both: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(second, first));
                _mm512_store_si512((&raw mut *line).cast(), both);
            }
        }
    }
}

/// See [`crate::scalar::bf16`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
pub(crate) fn multiply(task: &Bf16Task<'_>) {
    let is_direct = task.weight.dtype() == DType::BF16
        && !task.weight.is_sparse()
        && task.weight.columns().is_multiple_of(2)
        && task.input.tokens() < MANY;
    let mut index = task.groups.start;
    while index < task.groups.end {
        index += match (is_direct, task.groups.end - index) {
            (true, 1) => direct::<1>(task, index),
            (true, _) => direct::<GROUPS>(task, index),
            (false, 1) => unpacked::<1>(task, index),
            (false, _) => unpacked::<GROUPS>(task, index),
        };
    }
}

/// `G` groups from `index` on, as they are stored, times all rows; returns `G`.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn direct<const G: usize>(task: &Bf16Task<'_>, index: usize) -> usize {
    let mut stored = Stored([std::ptr::null(); G]);
    for (g, from) in stored.0.iter_mut().enumerate() {
        let FloatGroup::Bf16(values) = task.weight.float_group(index + g) else {
            unreachable!("{} is no BF16", task.weight.name())
        };
        *from = values.as_ptr();
    }
    // SAFETY: AVX-512 BF16 is enabled; groups hold all columns, an even number of them.
    unsafe { all_rows(task, index, &stored) };
    G
}

/// `G` groups from `index` on, unpacked first, times all rows; returns `G`.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn unpacked<const G: usize>(task: &Bf16Task<'_>, index: usize) -> usize {
    PANEL.with_borrow_mut(|panel| {
        panel::fill::<G>(task.weight, index, panel);
        // SAFETY: AVX-512 BF16 is enabled; the panel holds all columns.
        unsafe { all_rows(task, index, &Panel::<G>(panel.as_ptr())) };
    });
    G
}

/// Where pairs of columns of `G` groups come from.
trait Pairs<const G: usize> {
    /// Pair `pair` of 32 columns, 16 rows of group `group`.
    ///
    /// # Safety
    /// AVX-512 BF16 is enabled, and there is such a pair.
    unsafe fn pair(&self, group: usize, chunk: usize, pair: usize) -> __m512i;
}

/// `[chunks, G, PAIRS]`.
struct Panel<const G: usize>(*const __m512i);

impl<const G: usize> Pairs<G> for Panel<G> {
    #[inline(always)]
    unsafe fn pair(&self, group: usize, chunk: usize, pair: usize) -> __m512i {
        // SAFETY: by the contract.
        unsafe { _mm512_loadu_si512(self.0.add((chunk * G + group) * PAIRS + pair).cast()) }
    }
}

/// Each group `[columns, LANES]`.
struct Stored<const G: usize>([*const bf16; G]);

impl<const G: usize> Pairs<G> for Stored<G> {
    #[inline(always)]
    unsafe fn pair(&self, group: usize, chunk: usize, pair: usize) -> __m512i {
        let column = TILE_COLUMNS * chunk + 2 * pair;
        // SAFETY: by the contract.
        unsafe {
            let from = self.0[group].add(column * LANES);
            ask_for(from, 2 * LANES);
            panel::turn(_mm512_loadu_si512(from.cast()))
        }
    }
}

/// `G` groups from `index` on times all rows of input.
///
/// # Safety
/// AVX-512 BF16 is enabled, and `from` has the pairs of all columns.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
unsafe fn all_rows<P: Pairs<G>, const G: usize>(task: &Bf16Task<'_>, index: usize, from: &P) {
    for block in 0..task.input.blocks() {
        let (rows, lines) = task.input.block(block);
        let mut first = 0;
        while first < rows.len() {
            // What is left is cut evenly, so that the last rows do not read the weight for themselves.
            let rest = rows.len() - first;
            let count = rest.div_ceil(rest.div_ceil(MOST));
            let part = Part {
                task,
                index,
                token: rows.start + first,
                count,
                lines: lines.wrapping_add(first),
                height: rows.len(),
            };
            // SAFETY: by the contract; as many lines as a tile has rows may be read past the last row.
            unsafe {
                match count {
                    1 => tile::<P, G, 1>(&part, from),
                    2 => tile::<P, G, 2>(&part, from),
                    3 | 4 => tile::<P, G, 4>(&part, from),
                    5 | 6 => tile::<P, G, 6>(&part, from),
                    _ => tile::<P, G, MOST>(&part, from),
                }
            }
            first += count;
        }
    }
}

/// Some rows of a block.
struct Part<'a> {
    task: &'a Bf16Task<'a>,
    /// The first group.
    index: usize,
    /// The first row, and how many there are.
    token: usize,
    count: usize,
    /// Where lines of the first row begin, and how far those of the next columns are from there.
    lines: *const Bf16Line,
    height: usize,
}

/// `G` groups times a part of at most `T` rows.
///
/// # Safety
/// AVX-512 BF16 is enabled; `from` has the pairs of all columns; `T` rows may be read.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
unsafe fn tile<P: Pairs<G>, const G: usize, const T: usize>(part: &Part<'_>, from: &P) {
    let pairs = part.task.weight.columns().div_ceil(2);
    let mut sums = [[_mm512_setzero_ps(); T]; G];
    let mut lines = part.lines;
    // SAFETY: by the contract.
    unsafe {
        for chunk in 0..pairs / PAIRS {
            for pair in 0..PAIRS {
                add_pair::<P, G, T>(&mut sums, from, lines, (chunk, pair));
            }
            lines = lines.wrapping_add(part.height);
        }
        for pair in 0..pairs % PAIRS {
            add_pair::<P, G, T>(&mut sums, from, lines, (pairs / PAIRS, pair));
        }
    }
    for (g, sums) in sums.iter().enumerate() {
        for (t, sum) in sums.iter().enumerate().take(part.count) {
            let mut values = [0.0; LANES];
            let column = (part.index + g) * LANES;
            // SAFETY: the array holds a register; tasks that run at once differ in groups, so in columns.
            unsafe {
                _mm512_storeu_ps(values.as_mut_ptr(), *sum);
                part.task.output.put(part.token + t, column, &values);
            }
        }
    }
}

/// Adds the products of a pair of columns.
///
/// # Safety
/// AVX-512 BF16 is enabled; `from` has the pair; `T` lines may be read.
#[inline(always)]
unsafe fn add_pair<P: Pairs<G>, const G: usize, const T: usize>(
    sums: &mut [[__m512; T]; G],
    from: &P,
    lines: *const Bf16Line,
    (chunk, pair): (usize, usize),
) {
    // SAFETY: by the contract.
    unsafe {
        let mut weights = [_mm512_setzero_si512(); G];
        for (g, weight) in weights.iter_mut().enumerate() {
            *weight = from.pair(g, chunk, pair);
        }
        unrolled!(t < T, {
            let x = _mm512_set1_epi32(lines.cast::<i32>().add(PAIRS * t + pair).read());
            for g in 0..G {
                sums[g][t] = _mm512_dpbf16_ps(sums[g][t], as_bf16(weights[g]), as_bf16(x));
            }
        });
    }
}

#[inline(always)]
pub(super) fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: the same 512 bits.
    unsafe { std::mem::transmute(words) }
}
