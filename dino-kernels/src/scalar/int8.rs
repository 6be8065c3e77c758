//! The reference of int8 layers; [`quantize_row`] is also what the other sets compile for their registers.

use crate::int8::Int8Input;
use crate::packed::Int8Group;
use crate::table::{Int8Factor, Int8Kernels, Int8Task};

pub(crate) const TABLE: Int8Kernels = Int8Kernels {
    quantize_row,
    multiply,
};

/// Values that are looked at side by side: as many as the widest register holds.
const LANES: usize = 16;

/// Rounds a row to codes of 1…255; gives what they mean.
pub(crate) fn quantize_row(source: &[f32], input: &Int8Input, codes: &mut [u8]) -> Int8Factor {
    quantize_row_inline(source, input, codes)
}

/// The same, to be compiled for an instruction set: nothing here depends on how wide registers are.
#[inline(always)]
pub(crate) fn quantize_row_inline(
    source: &[f32],
    input: &Int8Input,
    codes: &mut [u8],
) -> Int8Factor {
    match input.multipliers() {
        None => {
            let factor = Int8Factor::of(input.range(), || limits(source, |_, x| x));
            round(source, factor, |_, x| x, codes);
            factor
        }
        Some(multipliers) => {
            let multipliers = &multipliers[..source.len()];
            let smooth = |at: usize, x: f32| x * multipliers[at];
            let factor = Int8Factor::of(input.range(), || limits(source, smooth));
            round(source, factor, smooth, codes);
            factor
        }
    }
}

/// The least and the greatest of the values and 0.
#[inline(always)]
fn limits(source: &[f32], value: impl Fn(usize, f32) -> f32) -> [f32; 2] {
    let (mut least, mut greatest) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (runs, rest) = source.as_chunks::<LANES>();
    for (run, values) in runs.iter().enumerate() {
        for lane in 0..LANES {
            let x = value(run * LANES + lane, values[lane]);
            least[lane] = if x < least[lane] { x } else { least[lane] };
            greatest[lane] = if x > greatest[lane] {
                x
            } else {
                greatest[lane]
            };
        }
    }
    for (index, &x) in rest.iter().enumerate() {
        let x = value(runs.len() * LANES + index, x);
        least[0] = least[0].min(x);
        greatest[0] = greatest[0].max(x);
    }
    [
        least.into_iter().fold(0.0, f32::min),
        greatest.into_iter().fold(0.0, f32::max),
    ]
}

/// Added to a value of a few thousands at most, this leaves the nearest integer, ties to even, in the lowest bits.
const TO_INTEGER: f32 = 12_582_912.0;

#[inline(always)]
fn round(source: &[f32], factor: Int8Factor, value: impl Fn(usize, f32) -> f32, codes: &mut [u8]) {
    let (inverse, zero) = (factor.inverse(), factor.zero);
    let (lowest, highest) = ((1 - zero) as f32, (255 - zero) as f32);
    for (index, (code, &x)) in codes.iter_mut().zip(source).enumerate() {
        let steps = value(index, x) * inverse;
        // What is no number becomes the lowest code, too.
        let steps = if steps > lowest { steps } else { lowest };
        let steps = if steps < highest { steps } else { highest };
        let bits = (steps + TO_INTEGER).to_bits() as i32;
        *code = (bits - TO_INTEGER.to_bits() as i32 + zero) as u8;
    }
}

/// Sums of integer products, each scaled once.
pub(crate) fn multiply(task: &Int8Task<'_>) {
    let lanes = task.weight.lanes();
    for index in task.groups.clone() {
        let group = task.weight.int8_group(index);
        let rows = lanes.min(task.weight.rows() - index * lanes);
        for token in 0..task.input.tokens() {
            let (codes, factor) = (task.input.codes(token), task.input.factor(token));
            for lane in 0..rows {
                let sum = dot(group, lane, codes);
                let sum = sum.wrapping_sub(factor.zero.wrapping_mul(group.sum(lane)));
                let value = sum as f32 * group.scale(lane) * factor.scale;
                // SAFETY: tasks that run at once differ in groups, so in columns.
                unsafe { task.output.put(token, index * lanes + lane, &[value]) };
            }
        }
    }
}

/// Wraps on the way where codes are large; what is subtracted in the end wraps it back.
fn dot(group: Int8Group<'_>, lane: usize, codes: &[u8]) -> i32 {
    let words = group.words.chunks_exact(4 * group.lanes);
    let products = words.zip(codes.chunks_exact(4)).map(|(word, codes)| {
        let word = &word[4 * lane..4 * lane + 4];
        let products = word.iter().zip(codes);
        products
            .map(|(&w, &x)| i32::from(w as i8) * i32::from(x))
            .sum::<i32>()
    });
    products.fold(0, i32::wrapping_add)
}
