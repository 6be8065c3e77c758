//! A rotation that spreads outliers over a head.
//!
//! A few features of keys and values are many times larger than the rest, and what shares a scale with them is lost at
//! four bits. Multiplied by an orthogonal matrix of equal magnitudes, every feature becomes a sum of all with signs, and
//! outliers are gone (QuaRot, arXiv:2404.00456). Scores stay the same when queries are rotated alike; sums of rotated
//! values are rotated back. The matrix is Walsh's and Hadamard's, its own inverse, applied in `n log n` additions. It
//! exists for powers of two: a head of another size is cut into them, the largest first (80 = 64 + 16).

/// Rotates a vector in place; a second time gives it back, but for rounding.
pub(crate) fn rotate(mut vector: &mut [f32]) {
    while !vector.is_empty() {
        let size = 1 << vector.len().ilog2();
        let (block, rest) = vector.split_at_mut(size);
        rotate_block(block);
        vector = rest;
    }
}

fn rotate_block(block: &mut [f32]) {
    let mut half = 1;
    while half < block.len() {
        for pair in block.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let norm = (block.len() as f32).sqrt().recip();
    block.iter_mut().for_each(|x| *x *= norm);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn lengths_and_products_stay_and_twice_gives_back() {
        let mut random = Random::new(1);
        for size in [1, 2, 3, 20, 64, 80, 96, 128, 192, 256] {
            let (a, b) = (random.values(size), random.values(size));
            let (mut a2, mut b2) = (a.clone(), b.clone());
            rotate(&mut a2);
            rotate(&mut b2);
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
                products.sum()
            };
            assert!((dot(&a, &b) - dot(&a2, &b2)).abs() < 1e-5 * size as f64);
            rotate(&mut a2);
            assert!(a.iter().zip(&a2).all(|(x, y)| (x - y).abs() < 1e-5));
        }
    }

    #[test]
    fn an_outlier_is_spread_evenly() {
        let mut vector = [0.0; 64];
        vector[5] = 8.0;
        rotate(&mut vector);
        assert!(vector.iter().all(|x| x.abs() == 1.0));
    }
}
