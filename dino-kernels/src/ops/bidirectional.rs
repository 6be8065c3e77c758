//! Attention of all tokens of a text to all of them: what encoders do.
//!
//! Nothing is cached, so a task takes one head of one text, turns its keys so that products run along registers, and goes
//! through the queries with the kernels of recurrent states: the scores of a query are what the turned keys hold for it,
//! and its result is what the values hold for the scores.

use crate::Compute;
use crate::output::Output;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

/// What one layer of an encoder computes.
#[derive(Clone, Copy, Debug)]
pub struct BidirectionalAttention {
    /// Heads.
    pub heads: usize,
    /// What scores are multiplied by.
    pub scale: f32,
}

/// Attends from each token to all tokens of its text. `texts` are the rows of each; all matrices are
/// `[tokens, heads · head_dim]`.
///
/// # Panics
/// If shapes do not fit, a matrix is not in standard layout, or two texts share a row.
pub fn attend_all(
    compute: &Compute,
    attention: &BidirectionalAttention,
    texts: &[Range<usize>],
    [queries, keys, values]: [ArrayView2<'_, f32>; 3],
    output: ArrayViewMut2<'_, f32>,
) {
    let width = queries.ncols();
    let heads = attention.heads;
    assert!(heads > 0 && width.is_multiple_of(heads), "whole heads");
    for shape in [keys.dim(), values.dim(), output.dim()] {
        assert_eq!(shape, queries.dim(), "rows of every token");
    }
    for (text, next) in texts.iter().zip(texts.iter().skip(1)) {
        assert!(text.end <= next.start, "texts behind each other");
    }
    let slice = |matrix: ArrayView2<'_, f32>| matrix.to_slice().is_some();
    assert!(
        slice(queries) && slice(keys) && slice(values),
        "standard layout"
    );
    let output = Output::new(output, None, false);
    let head_dim = width / heads;
    compute.pool.run(texts.len() * heads, |task| {
        let (text, head) = (&texts[task / heads], task % heads);
        let columns = head * head_dim..(head + 1) * head_dim;
        let part = |matrix: ArrayView2<'_, f32>, row: usize, column: usize| matrix[[row, column]];
        // The keys turned, `[head_dim, tokens]`, and the values, `[tokens, head_dim]`.
        let turned: Vec<f32> = (columns.clone())
            .flat_map(|column| text.clone().map(move |row| part(keys, row, column)))
            .collect();
        let values: Vec<f32> = (text.clone())
            .flat_map(|row| columns.clone().map(move |column| part(values, row, column)))
            .collect();
        let mut query = vec![0.0; head_dim];
        let (mut scores, mut out) = (vec![0.0; text.len()], vec![0.0; head_dim]);
        for row in text.clone() {
            for (query, column) in query.iter_mut().zip(columns.clone()) {
                *query = attention.scale * queries[[row, column]];
            }
            compute.kernels.state.recall(&turned, &query, &mut scores);
            compute.kernels.vector.softmax(&mut scores);
            compute.kernels.state.recall(&values, &scores, &mut out);
            // SAFETY: each task has rows and columns of its own.
            unsafe { output.put(row, columns.start, &out) };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use ndarray::Array2;

    #[test]
    fn every_token_sees_its_whole_text_and_no_other() {
        let (heads, head_dim) = (2, 5);
        let mut random = Random::new(1);
        let [queries, keys, values] =
            [(); 3].map(|()| Array2::from_shape_fn((9, heads * head_dim), |_| random.value()));
        let texts = [0..4, 4..9];
        let compute = Compute::new(2).unwrap();
        let mut found = Array2::zeros(queries.dim());
        let attention = BidirectionalAttention { heads, scale: 0.7 };
        let inputs = [queries.view(), keys.view(), values.view()];
        attend_all(&compute, &attention, &texts, inputs, found.view_mut());
        for (text, head) in texts
            .into_iter()
            .flat_map(|text| [(text.clone(), 0), (text, 1)])
        {
            for row in text.clone() {
                let column = |i: usize| head * head_dim + i;
                let weight = |other: usize| -> f64 {
                    let score: f64 = (0..head_dim)
                        .map(|i| {
                            f64::from(queries[[row, column(i)]])
                                * f64::from(keys[[other, column(i)]])
                        })
                        .sum();
                    (f64::from(0.7_f32) * score).exp()
                };
                let total: f64 = text.clone().map(weight).sum();
                for i in 0..head_dim {
                    let sum: f64 = (text.clone())
                        .map(|other| weight(other) * f64::from(values[[other, column(i)]]))
                        .sum();
                    let error = (f64::from(found[[row, column(i)]]) - sum / total).abs();
                    assert!(error < 1e-6, "{error}");
                }
            }
        }
    }
}
