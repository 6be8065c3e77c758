//! Outliers moved from inputs into weights.
//!
//! Xiao et al., "SmoothQuant", arXiv:2211.10438. A few channels of an input are many times larger than the others, and where
//! all share one scale they leave few codes to those. Dividing channel `c` by a factor and multiplying column `c` of the
//! weight by it changes nothing in exact numbers, but shares the difficulty between both.

use dino_core::{Tensor, blocks};
use rayon::prelude::*;

/// The factor of each channel: `max |input|^alpha / max |weight|^(1 - alpha)`, and 1 where one of both is nothing.
///
/// `alpha` 0 leaves all difficulty with the input, 1 gives all to the weight; 0.5 is the usual start.
///
/// # Panics
/// If there are more or fewer channels than columns.
pub fn smoothing_factors(input: &[f32], weight: &[f32], alpha: f32) -> Vec<f32> {
    assert_eq!(input.len(), weight.len(), "a column for each channel");
    let factor = |(&input, &weight): (&f32, &f32)| {
        let factor = input.powf(alpha) / weight.powf(1.0 - alpha);
        let usable =
            input > 0.0 && weight > 0.0 && factor.is_normal() && factor.recip().is_normal();
        if usable { factor } else { 1.0 }
    };
    input.iter().zip(weight).map(factor).collect()
}

/// The greatest magnitude of each column of a matrix of any type.
pub fn column_magnitudes(tensor: &Tensor) -> Vec<f32> {
    let columns = tensor.columns();
    let nothing = || (vec![0.0; columns], vec![0.0_f32; columns]);
    let look = |(mut values, mut greatest): (Vec<f32>, Vec<f32>), row: usize| {
        blocks::dequantize(tensor.dtype(), tensor.row(row), &mut values);
        for (greatest, value) in greatest.iter_mut().zip(&values) {
            *greatest = greatest.max(value.abs());
        }
        (values, greatest)
    };
    // The order of maxima does not matter.
    let parts = (0..tensor.rows()).into_par_iter().fold(nothing, look);
    parts.map(|(_, greatest)| greatest).reduce(
        || vec![0.0; columns],
        |mut a, b| {
            a.iter_mut().zip(&b).for_each(|(a, b)| *a = a.max(*b));
            a
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use dino_core::{DType, Storage};

    #[test]
    fn difficulty_is_shared() {
        let factors = smoothing_factors(&[100.0, 1.0, 0.0, 4.0], &[0.25, 1.0, 1.0, 0.0], 0.5);
        assert_eq!(factors, [20.0, 1.0, 1.0, 1.0]);
        assert_eq!(smoothing_factors(&[8.0], &[2.0], 1.0), [8.0]);
        assert_eq!(smoothing_factors(&[8.0], &[2.0], 0.0), [0.5]);
    }

    #[test]
    fn columns_are_looked_at_over_all_rows() {
        let values: Vec<f32> = (0..300)
            .map(|i| if i % 2 == 0 { -(i as f32) } else { 0.5 })
            .collect();
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensor = Tensor::new("w", DType::F32, &[150, 2], Storage::from_vec(bytes)).unwrap();
        assert_eq!(column_magnitudes(&tensor), [298.0, 0.5]);
    }
}
