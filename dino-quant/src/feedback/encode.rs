//! Matrices encoded column by column, errors fed back.

use super::Factor;
use crate::QuantError;
use crate::encode::Recode;
use crate::tensor::{Encoded, Loss, encode_tensor};
use dino_core::blocks::{
    self, IQ4_NL, IQ4_XS, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K,
};
use dino_core::storage::AlignedBytes;
use dino_core::{DType, Tensor, cast};
use ndarray::{Array1, ArrayView2};
use rayon::prelude::*;

/// Rows that pass over the factor together: it is larger than the cache.
const ROWS: usize = 16;

/// How codes were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Each for itself.
    Rounded,
    /// With errors fed back, from the first column to the last.
    Feedback,
    /// With errors fed back, the columns that matter most first.
    ActOrder,
}

/// A matrix encoded with feedback.
#[derive(Debug)]
pub struct Feedback {
    /// Its bytes, and what was lost of the weights.
    pub encoded: Encoded,
    /// The method that lost least.
    pub method: Method,
    /// `Σ eᵀ H e` over the rows' errors, by it.
    pub error: f64,
    /// The same by [`Method::Rounded`].
    pub rounded_error: f64,
}

/// `tensor`, a matrix, as `target`, so that little is lost of its products with inputs of `hessian`, `Σ x xᵀ` over them,
/// `[columns, columns]`. `importance` is as for [`encode_tensor`]. Rows in parallel, the same bytes for any number of threads.
///
/// `None` for types without codes to choose (floats, MXFP4, Q8_0, which has no error worth the work), and where no errors
/// can be spread by this matrix.
///
/// # Errors
/// As those of [`encode_tensor`].
///
/// # Panics
/// If `hessian` is of another size.
pub fn encode_with_feedback(
    tensor: &Tensor,
    target: DType,
    importance: Option<&[f32]>,
    hessian: ArrayView2<'_, f32>,
) -> Result<Option<Feedback>, QuantError> {
    let columns = tensor.columns();
    assert_eq!(hessian.dim(), (columns, columns), "channels of the input");
    let Some(passes) = passes(target) else {
        return Ok(None);
    };
    let natural: Vec<usize> = (0..columns).collect();
    let mut by_size = natural.clone();
    // Stable, so that equals keep their order.
    by_size.sort_by(|&a, &b| hessian[[b, b]].total_cmp(&hessian[[a, a]]));
    let rounded = encode_tensor(tensor, target, importance)?;
    let job = Job {
        tensor,
        target,
        importance,
        hessian,
    };
    let rounded_error = job.error(rounded.bytes.as_slice());
    let mut best = Feedback {
        encoded: rounded,
        method: Method::Rounded,
        error: rounded_error,
        rounded_error,
    };
    for (method, order) in [(Method::Feedback, natural), (Method::ActOrder, by_size)] {
        let Some(factor) = Factor::new(hessian, order) else {
            return Ok(None);
        };
        let bytes = job.encode(&factor, method, passes);
        let error = job.error(bytes.as_slice());
        if error < best.error {
            best.encoded = Encoded {
                loss: job.loss(bytes.as_slice()),
                bytes,
            };
            (best.method, best.error) = (method, error);
        }
    }
    Ok(Some(best))
}

/// Whether codes of this type can be chosen with feedback.
pub fn can_feed_back(target: DType) -> bool {
    passes(target).is_some()
}

/// Some rows and their importance through a factor, into bytes.
type Pass = fn(&mut [Vec<f32>], Option<&[f32]>, &Factor, bool, &mut [u8]);

fn passes(target: DType) -> Option<Pass> {
    Some(match target {
        DType::Q4_0 => encode_rows::<Q4_0, 32>,
        DType::Q4_1 => encode_rows::<Q4_1, 32>,
        DType::Q5_0 => encode_rows::<Q5_0, 32>,
        DType::Q5_1 => encode_rows::<Q5_1, 32>,
        DType::IQ4_NL => encode_rows::<IQ4_NL, 32>,
        DType::IQ4_XS => encode_rows::<IQ4_XS, 256>,
        DType::Q2_K => encode_rows::<Q2_K, 256>,
        DType::Q3_K => encode_rows::<Q3_K, 256>,
        DType::Q4_K => encode_rows::<Q4_K, 256>,
        DType::Q5_K => encode_rows::<Q5_K, 256>,
        DType::Q6_K => encode_rows::<Q6_K, 256>,
        _ => return None,
    })
}

struct Job<'a> {
    tensor: &'a Tensor,
    target: DType,
    importance: Option<&'a [f32]>,
    hessian: ArrayView2<'a, f32>,
}

impl Job<'_> {
    fn row(&self, row: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.tensor.columns()];
        blocks::dequantize(self.tensor.dtype(), self.tensor.row(row), &mut values);
        values
    }

    fn encode(&self, factor: &Factor, method: Method, pass: Pass) -> AlignedBytes {
        let rows = self.tensor.rows();
        let row_bytes = self.target.row_bytes(self.tensor.columns()).unwrap_or(0);
        let mut bytes = AlignedBytes::zeroed(row_bytes * rows);
        let tasks = bytes
            .as_mut_slice()
            .par_chunks_mut((ROWS * row_bytes).max(1));
        tasks.enumerate().for_each(|(task, bytes)| {
            let first = task * ROWS;
            let mut values: Vec<_> = (first..(first + ROWS).min(rows))
                .map(|r| self.row(r))
                .collect();
            let scales_first = method == Method::ActOrder;
            pass(&mut values, self.importance, factor, scales_first, bytes);
        });
        bytes
    }

    /// The errors of row `row` of `bytes`.
    fn misses(&self, bytes: &[u8], row: usize) -> Vec<f32> {
        let mut decoded = vec![0.0; self.tensor.columns()];
        let row_bytes = bytes.len() / self.tensor.rows();
        let stored = &bytes[row * row_bytes..(row + 1) * row_bytes];
        blocks::dequantize(self.target, stored, &mut decoded);
        let values = self.row(row);
        decoded
            .iter_mut()
            .zip(values)
            .for_each(|(y, x)| *y = x - *y);
        decoded
    }

    /// `Σ eᵀ H e`.
    fn error(&self, bytes: &[u8]) -> f64 {
        let of_row = |row: usize| {
            let misses = Array1::from_vec(self.misses(bytes, row));
            let spread = self.hessian.dot(&misses);
            let products = misses.iter().zip(&spread);
            products
                .map(|(e, s)| f64::from(*e) * f64::from(*s))
                .sum::<f64>()
        };
        // In their order, so that sums do not depend on the threads.
        let errors: Vec<f64> = (0..self.tensor.rows())
            .into_par_iter()
            .map(of_row)
            .collect();
        errors.into_iter().sum()
    }

    fn loss(&self, bytes: &[u8]) -> Loss {
        let of_row = |row: usize| {
            let misses = self.misses(bytes, row);
            Loss::of(&self.row(row), misses.into_iter(), self.importance)
        };
        let losses: Vec<Loss> = (0..self.tensor.rows())
            .into_par_iter()
            .map(of_row)
            .collect();
        losses.into_iter().fold(Loss::default(), Loss::plus)
    }
}

/// Encodes some rows, which lose their values on the way.
fn encode_rows<B: Recode<N>, const N: usize>(
    rows: &mut [Vec<f32>],
    importance: Option<&[f32]>,
    factor: &Factor,
    scales_first: bool,
    bytes: &mut [u8],
) {
    let columns = factor.order().len();
    let mut rows: Vec<Row<'_, B, N>> = rows
        .iter_mut()
        .map(|values| Row {
            open: factor
                .order()
                .iter()
                .map(|&column| values[column])
                .collect(),
            values,
            importance,
            blocks: Vec::with_capacity(columns / N),
            codes: vec![[0; N]; columns / N],
        })
        .collect();
    if scales_first {
        for row in &mut rows {
            (0..columns / N).for_each(|block| row.begin(block));
        }
    }
    for (place, &column) in factor.order().iter().enumerate() {
        let spread = factor.row(place);
        for row in &mut rows {
            if !scales_first && column % N == 0 {
                row.take_errors(column);
                row.begin(column / N);
            }
            row.round(place, column, spread);
        }
    }
    let row_bytes = bytes.len() / rows.len().max(1);
    for (row, bytes) in rows.iter_mut().zip(bytes.chunks_exact_mut(row_bytes)) {
        let Some(stored) = cast::blocks_mut::<B>(bytes) else {
            unreachable!("rows of whole blocks");
        };
        for ((block, codes), stored) in row.blocks.iter_mut().zip(&row.codes).zip(stored) {
            block.0.set_codes(codes);
            *stored = block.0;
        }
    }
}

/// A row on its way.
struct Row<'a, B, const N: usize> {
    /// In the order of the columns; what blocks are fitted to.
    values: &'a mut Vec<f32>,
    /// In the order of the factor; with the errors so far.
    open: Vec<f32>,
    importance: Option<&'a [f32]>,
    /// Each with scale, its inverse and minimum of its groups.
    blocks: Vec<(B, Vec<[f32; 3]>)>,
    codes: Vec<[i8; N]>,
}

impl<B: Recode<N>, const N: usize> Row<'_, B, N> {
    /// Lets the values from `column` on, where the factor has columns in their order, be those with errors.
    fn take_errors(&mut self, column: usize) {
        self.values[column..column + N].copy_from_slice(&self.open[column..column + N]);
    }

    /// Finds the scales of a block.
    fn begin(&mut self, block: usize) {
        let values = &self.values.as_chunks::<N>().0[block];
        let ones = [1.0; N];
        let importance = self.importance.map(|all| &all.as_chunks::<N>().0[block]);
        // Importance of ones asks for the search of scales, rather than the rounding of reference.
        let block = B::encode(values, Some(importance.unwrap_or(&ones)));
        let factors = (0..N / B::GROUP).map(|group| {
            let (scale, min) = block.factors(group);
            [scale, if scale == 0.0 { 0.0 } else { 1.0 / scale }, min]
        });
        let factors = factors.collect();
        self.blocks.push((block, factors));
    }

    /// Rounds one value, and spreads its error over those that follow.
    fn round(&mut self, place: usize, column: usize, spread: &[f32]) {
        let (block, at) = (column / N, column % N);
        let [scale, inverse, min] = self.blocks[block].1[at / B::GROUP];
        let (done, open) = self.open.split_at_mut(place + 1);
        let value = done[place];
        let code = B::nearest((value + min) * inverse);
        self.codes[block][at] = code as i8;
        let error = (value - (scale * code - min)) / spread[0];
        for (open, share) in open.iter_mut().zip(&spread[1..]) {
            *open -= error * share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dino_core::Storage;
    use dino_core::blocks::Quantized;
    use ndarray::Array2;

    fn tensor(values: &Array2<f32>) -> Tensor {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let shape = [values.nrows(), values.ncols()];
        Tensor::new("w", DType::F32, &shape, Storage::from_vec(bytes)).unwrap()
    }

    /// Repeatable numbers around 0.
    fn random(shape: (usize, usize), seed: u64) -> Array2<f32> {
        let mut state = seed;
        Array2::from_shape_simple_fn(shape, || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
    }

    /// Inputs of which some channels are large and most go together.
    fn hessian(columns: usize) -> (Array2<f32>, Array2<f32>) {
        let mut inputs = random((1000, 24), 1).dot(&random((24, columns), 2));
        inputs += &random((1000, columns), 3);
        for column in (0..columns).step_by(37) {
            inputs.column_mut(column).mapv_inplace(|x| 4.0 * x);
        }
        (inputs.t().dot(&inputs), inputs)
    }

    /// What it says of its error is what its bytes do to the products, which is much less than by rounding.
    #[test]
    fn products_lose_less_than_by_rounding() {
        let weights = random((24, 512), 4);
        let tensor = tensor(&weights);
        let (hessian, inputs) = hessian(512);
        let importance = hessian.diag().to_vec();
        let types = [
            DType::Q4_0,
            DType::Q4_1,
            DType::IQ4_NL,
            DType::IQ4_XS,
            DType::Q2_K,
            DType::Q3_K,
            DType::Q4_K,
        ];
        for dtype in types {
            let found = encode_with_feedback(&tensor, dtype, Some(&importance), hessian.view());
            let found = found.unwrap().unwrap();
            let mut decoded = Array2::zeros(weights.raw_dim());
            let values = decoded.as_slice_mut().unwrap();
            blocks::dequantize(dtype, found.encoded.bytes.as_slice(), values);
            let missed = inputs.dot(&(&weights - &decoded).t());
            let error = missed.mapv(|x| f64::from(x).powi(2)).sum();
            assert!(
                (error / found.error - 1.0).abs() < 1e-2,
                "{dtype}: {error} {}",
                found.error
            );
            assert_ne!(found.method, Method::Rounded, "{dtype}");
            assert!(
                found.error < 0.7 * found.rounded_error,
                "{dtype}: {found:?}"
            );
            let loss = found.encoded.loss.error;
            let expected = (&weights - &decoded).mapv(|x| f64::from(x).powi(2)).sum();
            assert!(
                (loss / expected - 1.0).abs() < 1e-4,
                "{dtype}: {loss} {expected}"
            );
        }
    }

    /// Channels that have nothing to do with each other leave nothing to feed back: no method is better than the search.
    #[test]
    fn without_correlation_it_is_rounding() {
        let weights = tensor(&random((4, 64), 5));
        let one = Array2::from_diag(&ndarray::Array1::ones(64));
        let ones = vec![1.0; 64];
        let found = encode_with_feedback(&weights, DType::Q4_0, Some(&ones), one.view());
        let found = found.unwrap().unwrap();
        let rounded = encode_tensor(&weights, DType::Q4_0, Some(&ones)).unwrap();
        assert_eq!(found.encoded.bytes.as_slice(), rounded.bytes.as_slice());
        assert!(
            encode_with_feedback(&weights, DType::F16, None, one.view())
                .unwrap()
                .is_none()
        );
    }

    /// The codes of the same scales are those of NumPy in f64 (`tools/vectors_feedback.py`).
    #[test]
    fn codes_are_those_of_numpy() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/feedback.json")).unwrap();
        let bytes = |key: &str| -> Vec<u8> {
            let hex = vectors[key].as_str().unwrap().as_bytes().as_chunks::<2>().0;
            let byte = |pair: &[u8; 2]| std::str::from_utf8(pair).unwrap().to_owned();
            hex.iter()
                .map(|pair| u8::from_str_radix(&byte(pair), 16).unwrap())
                .collect()
        };
        let columns = vectors["columns"].as_u64().unwrap() as usize;
        let of_rows = |values: Vec<f32>| {
            let shape = (values.len() / columns, columns);
            Array2::from_shape_vec(shape, values).unwrap()
        };
        let inputs = bytes("inputs")
            .iter()
            .map(|&x| f32::from(x as i8))
            .collect();
        let inputs: Array2<f32> = of_rows(inputs);
        let hessian = inputs.t().dot(&inputs);
        let rows = bytes("rows")
            .as_chunks()
            .0
            .iter()
            .map(|x| f32::from_le_bytes(*x))
            .collect();
        let mut importance = vec![1e-12; columns];
        for anchor in vectors["anchors"].as_array().unwrap() {
            importance[anchor.as_u64().unwrap() as usize] = 1.0;
        }
        let job = Job {
            tensor: &tensor(&of_rows(rows)),
            target: DType::Q4_0,
            importance: Some(&importance),
            hessian: hessian.view(),
        };
        let natural: Vec<usize> = (0..columns).collect();
        let mut by_size = natural.clone();
        by_size.sort_by(|&a, &b| hessian[[b, b]].total_cmp(&hessian[[a, a]]));
        for (key, method, order) in [
            ("natural", Method::Feedback, natural),
            ("act_order", Method::ActOrder, by_size),
        ] {
            let factor = Factor::new(hessian.view(), order).unwrap();
            let stored = job.encode(&factor, method, encode_rows::<Q4_0, 32>);
            let blocks = cast::blocks::<Q4_0>(stored.as_slice()).unwrap();
            let found: Vec<i8> = blocks.iter().flat_map(Quantized::codes).collect();
            let expected: Vec<i8> = bytes(key).iter().map(|&x| x as i8).collect();
            assert_eq!(found, expected, "{key}");
        }
    }

    #[test]
    fn threads_do_not_change_a_byte() {
        let weights = tensor(&random((50, 256), 6));
        let (hessian, _) = hessian(256);
        let encode = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let found = encode_with_feedback(&weights, DType::Q3_K, None, hessian.view());
                found.unwrap().unwrap().encoded.bytes.as_slice().to_vec()
            })
        };
        assert_eq!(encode(1), encode(5));
    }
}
