//! The reference of linear layers: no tricks, any number of lanes.

use crate::Tuning;
use crate::packed::{Format, QuantizedGroup, with_format};
use crate::quantized::InputBlock;
use crate::table::{FloatTask, LinearKernels, QuantizedTask};

/// Lanes are as free as any number here; 8 give rows a packed form to be tested in.
pub(crate) const TABLE: LinearKernels = LinearKernels {
    lanes: 8,
    tuning: Tuning::PLAIN,
    quantize_row,
    quantized,
    float,
};

/// Runs of 16 by their largest magnitude, rounded to the nearest of -127…127.
pub(crate) fn quantize_row(source: &[f32], blocks: &mut [InputBlock]) {
    for (source, block) in source.chunks_exact(32).zip(blocks) {
        for half in 0..2 {
            let source = &source[16 * half..16 * half + 16];
            let largest = source
                .iter()
                .fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let scale = largest / 127.0;
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let codes = &mut block.codes[16 * half..16 * half + 16];
            for (code, x) in codes.iter_mut().zip(source) {
                *code = (x * inverse).round_ties_even() as i8;
            }
            let sum = codes.iter().map(|&code| i32::from(code)).sum::<i32>();
            block.set_half(half, scale, sum);
        }
    }
}

/// Integer sums of 16 products, scaled and added in f32.
pub(crate) fn quantized(task: &QuantizedTask<'_>) {
    with_format!(task.weight.dtype(), F => quantized_as::<F>(task), _ => {
        unreachable!("{} is no quantized type", task.weight.dtype())
    });
}

fn quantized_as<F: Format>(task: &QuantizedTask<'_>) {
    let lanes = task.weight.lanes();
    for index in task.groups.clone() {
        let group = task.weight.quantized_group(index);
        let rows = lanes.min(task.weight.rows() - index * lanes);
        for token in 0..task.input.tokens() {
            let row = task.input.row(token);
            for lane in 0..rows {
                let value = dot::<F>(group, lane, row);
                // SAFETY: tasks that run at once differ in groups, so in columns.
                unsafe { task.output.put(token, index * lanes + lane, &[value]) };
            }
        }
    }
}

fn dot<F: Format>(group: QuantizedGroup<'_>, lane: usize, row: &[InputBlock]) -> f32 {
    let mut total = 0.0;
    for (chunk, block) in row.iter().enumerate() {
        let weight = group.decode::<F>(lane, chunk);
        for half in 0..2 {
            let products = (0..16).map(|k| 16 * half + k).map(|k| {
                // An unsigned code of 8 bits does not exist: the widest has 6.
                i32::from(weight.codes[k]) * i32::from(block.codes[k])
            });
            let sum = products.sum::<i32>() as f32;
            total += sum * weight.scales[half] * block.scales[half];
            total += weight.mins[half] * block.half_sums[half];
        }
    }
    total
}

/// f32 sums in the order of the columns.
pub(crate) fn float(task: &FloatTask<'_>) {
    for (token, row) in task.input.chunks_exact(task.columns.max(1)).enumerate() {
        for lane in 0..task.lanes.min(task.output.columns() - task.first) {
            let products = row
                .iter()
                .enumerate()
                .map(|(k, x)| x * task.group.at(k * task.lanes + lane));
            // SAFETY: tasks that run at once differ in columns.
            unsafe { task.output.put(token, task.first + lane, &[products.sum()]) };
        }
    }
}
