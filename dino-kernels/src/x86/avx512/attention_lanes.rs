//! Attention of many rows over planes of bf16: rows lie along the registers.

use super::math::exp;
use super::pairs::{Fresh, Product, Rescaled, as_bf16, multiply, round, transpose};
use crate::kv::PAGE;
use crate::table::{Ahead, LANES, LaneKernels, LaneStates, LaneWeights, Seen};
use half::bf16;
use std::arch::x86_64::*;
use std::f32::consts::LOG2_E;

pub(super) const KERNELS: LaneKernels = LaneKernels {
    turn_queries,
    bases,
    scores,
    soften,
    values,
    turn_sums,
};

/// See [`LaneKernels::turn_queries`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn turn_queries(queries: &[f32], dim: usize, words: &mut [u32], width: usize) {
    for column in (0..width).step_by(LANES) {
        for first in (0..dim).step_by(2 * LANES) {
            // The last words of a row may be half a register.
            let count = LANES.min((dim - first) / 2);
            let mut rows = [_mm512_setzero_si512(); LANES];
            let lines = queries.chunks_exact(dim).skip(column);
            for (to, row) in rows.iter_mut().zip(lines) {
                let row = &row[..first + 2 * count];
                let load = |at| super::lanes::load(row, at);
                *to = round(load(first), load(first + LANES));
            }
            let turned = transpose(rows);
            for (index, turned) in turned[..count].iter().enumerate() {
                let to = &mut words[(first / 2 + index) * width + column..][..LANES];
                // SAFETY: the slice holds a register.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), *turned) };
            }
        }
    }
}

/// See [`LaneKernels::bases`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn bases(queries: &[u32], center: &[bf16], bases: &mut [f32]) {
    let product = Product {
        left: bytemuck::cast_slice(center),
        row_step: 0,
        pair_step: 1,
        right: queries,
        width: bases.len(),
        pairs: center.len() / 2,
        ahead: &[],
    };
    multiply(&product, Fresh, bases);
}

/// See [`LaneKernels::scores`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn scores(queries: &[u32], keys: &[bf16], scores: &mut [f32], ahead: Ahead<'_>) {
    let product = Product {
        left: bytemuck::cast_slice(keys),
        row_step: 1,
        pair_step: PAGE,
        right: queries,
        width: scores.len() / PAGE,
        pairs: keys.len() / PAGE / 2,
        ahead,
    };
    multiply(&product, Fresh, scores);
}

/// See [`LaneKernels::values`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn values(weights: &LaneWeights<'_>, values: &[bf16], sums: &mut [f32], ahead: Ahead<'_>) {
    let product = Product {
        left: bytemuck::cast_slice(values),
        row_step: 1,
        pair_step: values.len() / PAGE,
        right: weights.words,
        width: weights.rescale.len(),
        pairs: weights.count.div_ceil(2),
        ahead,
    };
    multiply(&product, Rescaled(weights.rescale), sums);
}

/// See [`LaneKernels::turn_sums`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn turn_sums(sums: &[f32], width: usize, rows: &mut [f32], dim: usize) {
    for (block, rows) in rows.chunks_mut(LANES * dim).enumerate() {
        for feature in (0..dim).step_by(LANES) {
            let mut registers = [_mm512_setzero_si512(); LANES];
            for (index, to) in registers.iter_mut().enumerate() {
                let from = &sums[(feature + index) * width + block * LANES..][..LANES];
                // SAFETY: the slice holds a register.
                *to = unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
            }
            let turned = transpose(registers);
            for (row, turned) in rows.chunks_exact_mut(dim).zip(turned) {
                let to = &mut row[feature..][..LANES];
                // SAFETY: the slice holds a register.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), turned) };
            }
        }
    }
}

/// See [`LaneKernels::soften`].
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn soften(scores: &mut [f32], weights: &mut [u32], seen: Option<Seen<'_>>, states: LaneStates<'_>) {
    let width = states.max.len();
    for column in (0..width).step_by(LANES) {
        if let Some(seen) = &seen {
            hide(scores, width, column, seen);
        }
        let at = Column {
            scores,
            width,
            column,
        };
        let held = super::lanes::load(states.max, column);
        let base = super::lanes::load(states.bases, column);
        let max = _mm512_max_ps(held, _mm512_add_ps(at.max(), base));
        // Rows that have seen nothing yet: from here on minus infinity is below them.
        let shift = _mm512_max_ps(_mm512_sub_ps(max, base), _mm512_set1_ps(f32::MIN));
        let sum = at.weigh(shift, weights);
        let same = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(held, max);
        let one = _mm512_set1_ps(1.0);
        let rescale = _mm512_mask_blend_ps(same, exp(_mm512_sub_ps(held, max)), one);
        let before = super::lanes::load(states.sum, column);
        let sum = _mm512_add_ps(_mm512_mul_ps(before, rescale), sum);
        super::lanes::store(states.max, column, max);
        super::lanes::store(states.sum, column, sum);
        super::lanes::store(states.rescale, column, rescale);
    }
}

/// Lowers the scores of slots that rows do not see to minus infinity.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn hide(scores: &mut [f32], width: usize, column: usize, seen: &Seen<'_>) {
    // SAFETY: a slice of 16 holds a register.
    let load = |from: &[i32]| unsafe { _mm512_loadu_si512(from[..LANES].as_ptr().cast()) };
    let (first, end) = (load(&seen.first[column..]), load(&seen.end[column..]));
    for (slot, scores) in scores.chunks_exact_mut(width).enumerate() {
        let slot = _mm512_set1_epi32(slot as i32);
        let visible = _mm512_cmple_epi32_mask(first, slot) & _mm512_cmplt_epi32_mask(slot, end);
        let scores = &mut scores[column..][..LANES];
        let lowest = _mm512_set1_ps(f32::NEG_INFINITY);
        // SAFETY: the slice holds a register.
        unsafe { _mm512_mask_storeu_ps(scores.as_mut_ptr(), !visible, lowest) };
    }
}

/// Sixteen rows of the scores.
struct Column<'a> {
    scores: &'a [f32],
    width: usize,
    column: usize,
}

impl Column<'_> {
    #[inline]
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
    )]
    fn load(&self, slot: usize) -> __m512 {
        let from = &self.scores[slot * self.width + self.column..][..LANES];
        // SAFETY: the slice holds a register.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    /// The greatest score of each row.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
    )]
    fn max(&self) -> __m512 {
        let mut max = [_mm512_set1_ps(f32::NEG_INFINITY); 4];
        for slot in (0..PAGE).step_by(4) {
            for (index, max) in max.iter_mut().enumerate() {
                *max = _mm512_max_ps(*max, self.load(slot + index));
            }
        }
        _mm512_max_ps(_mm512_max_ps(max[0], max[1]), _mm512_max_ps(max[2], max[3]))
    }

    /// Writes the words of the weights, `exp(score - shift)`, and returns their sums, in the order of [`super::attention_bf16::soften`].
    #[target_feature(
        enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
    )]
    fn weigh(&self, shift: __m512, words: &mut [u32]) -> __m512 {
        let interleave = _mm512_loadu_words(&INTERLEAVED);
        let ones = as_bf16(_mm512_set1_epi32(0x3f80_3f80));
        let mut sums = [_mm512_setzero_ps(); 8];
        for quarter in 0..4 {
            for (index, sum) in sums.iter_mut().enumerate() {
                let pair = 8 * quarter + index;
                let weight = |slot| weight(_mm512_sub_ps(self.load(slot), shift));
                let rounded = round(weight(2 * pair), weight(2 * pair + 1));
                let rounded = _mm512_permutexvar_epi16(interleave, rounded);
                *sum = _mm512_dpbf16_ps(*sum, as_bf16(rounded), ones);
                let to = &mut words[pair * self.width + self.column..][..LANES];
                // SAFETY: the slice holds a register.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), rounded) };
            }
        }
        for half in [4, 2, 1] {
            for index in 0..half {
                sums[index] = _mm512_add_ps(sums[index], sums[index + half]);
            }
        }
        sums[0]
    }
}

/// Element `i` of the first half beside element `i` of the second.
const INTERLEAVED: [u16; 32] = {
    let mut order = [0; 32];
    let mut index = 0;
    while index < 32 {
        order[index] = (index / 2 + index % 2 * 16) as u16;
        index += 1;
    }
    order
};

#[inline]
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn _mm512_loadu_words(words: &[u16; 32]) -> __m512i {
    // SAFETY: the array holds a register.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// `2^f` for `f` from 0 to 1 to 9e-5, without the 1: minimax in the relative error.
const EXP2: [f32; 3] = [0.695_116_8, 0.227_645, 0.077_067_02];

/// `e^x` to 9e-5 for `x` up to 0, and 1 for 0: enough for what is rounded to 8 bits (2e-3). NaN stays NaN.
#[inline]
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
pub(super) fn weight(x: __m512) -> __m512 {
    const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
    // Below the lowest power the result is 0 anyway. In this order of arguments NaN passes.
    let x = _mm512_mul_ps(x, _mm512_set1_ps(LOG2_E));
    let x = _mm512_max_ps(_mm512_set1_ps(-160.0), x);
    let f = _mm512_reduce_ps::<DOWN>(x);
    let [a, b, c] = EXP2.map(|factor| _mm512_set1_ps(factor));
    let sum = _mm512_fmadd_ps(_mm512_fmadd_ps(c, f, b), f, a);
    // The scale of an instruction is the power of the whole part below.
    _mm512_scalef_ps(_mm512_fmadd_ps(sum, f, _mm512_set1_ps(1.0)), x)
}
