//! How much a layer changes what passes through it.

use ndarray::ArrayView2;

/// How much a layer turns the residual stream: the mean of 1 - cosine of what each token brings and takes along (the block
/// influence of Men et al., arXiv:2403.03853).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Influence {
    /// Tokens that were seen.
    pub tokens: f64,
    /// Σ (1 - cosine).
    pub sum: f64,
}

impl Influence {
    /// The mean over all tokens; 0 of none.
    pub fn mean(&self) -> f64 {
        if self.tokens > 0.0 {
            self.sum / self.tokens
        } else {
            0.0
        }
    }

    /// Counts rows, `[tokens, hidden]`, as they were before and after the layer.
    ///
    /// # Panics
    /// If they are of two shapes.
    pub fn add(&mut self, before: ArrayView2<'_, f32>, after: ArrayView2<'_, f32>) {
        assert_eq!(before.dim(), after.dim(), "the same rows twice");
        for (before, after) in before.rows().into_iter().zip(after.rows()) {
            let (mut product, mut squares) = (0.0, [0.0; 2]);
            for (&x, &y) in before.iter().zip(after) {
                let (x, y) = (f64::from(x), f64::from(y));
                product += x * y;
                squares[0] += x * x;
                squares[1] += y * y;
            }
            let lengths = (squares[0] * squares[1]).sqrt();
            // A row of zeros has no direction to change.
            self.sum += if lengths > 0.0 {
                1.0 - product / lengths
            } else {
                0.0
            };
            self.tokens += 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_turn_counts_and_a_length_does_not() {
        let mut influence = Influence::default();
        assert_eq!(influence.mean(), 0.0);
        let before = array![[1.0, 0.0], [1.0, 1.0], [3.0, 4.0], [0.0, 0.0]];
        let after = array![[0.0, 2.0], [5.0, 5.0], [-3.0, -4.0], [1.0, 0.0]];
        influence.add(before.view(), after.view());
        // A quarter turn, none, half a turn, and nothing to turn.
        assert!((influence.mean() - 3.0 / 4.0).abs() < 1e-12);
    }
}
