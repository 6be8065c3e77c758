//! How far one model is from another: what quantization costs, measured token by token.

use crate::{Generator, Result};

/// A number and its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

/// Sums over tokens of what two models make of them: one that is the base, and one that is to be like it.
///
/// ```
/// use dino_llm::evaluate::Divergence;
///
/// let mut divergence = Divergence::default();
/// divergence.add(&[1.0, 2.0, 0.0], &[1.1, 1.9, 0.0], 1);
/// divergence.add(&[0.5, 0.0, 0.0], &[0.5, 0.0, 0.0], 0);
/// let summary = divergence.summary();
/// assert_eq!(summary.same_top.value, 1.0);
/// assert!(summary.mean_kl.value > 0.0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Divergence {
    /// Kullback–Leibler divergence at each token, in nats.
    kl: Vec<f32>,
    base: Moments,
    other: Moments,
    /// Of the difference of both negative log-likelihoods.
    difference: Moments,
    /// Of the squared difference of both probabilities of the token.
    probability: Moments,
    same_top: usize,
}

/// What a [`Divergence`] comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Tokens that were scored.
    pub tokens: usize,
    /// Perplexity of the base.
    pub base_perplexity: Estimate,
    /// Perplexity of the other model.
    pub perplexity: Estimate,
    /// The latter by the former. Its error is that of the paired difference, much smaller than either's own.
    pub ratio: Estimate,
    /// Mean divergence of the other's distribution from the base's, in nats.
    pub mean_kl: Estimate,
    /// Half of the tokens diverge less.
    pub median_kl: f64,
    /// 99.9 % of the tokens diverge less.
    pub kl_999: f64,
    /// The greatest divergence.
    pub greatest_kl: f64,
    /// The fraction of tokens at which both hold the same one for the most likely.
    pub same_top: Estimate,
    /// The root of the mean square of what the token's probability changes by.
    pub probability_change: f64,
}

/// Sum and sum of squares of a number of values.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: usize,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// The mean and its standard error.
    fn mean(&self) -> Estimate {
        let count = self.count as f64;
        let value = self.sum / count;
        let variance = (self.squares / count - value * value).max(0.0);
        let error = (variance / (count - 1.0)).sqrt();
        Estimate { value, error }
    }

    /// `exp` of the mean, with the error that it takes along.
    fn exp_mean(&self) -> Estimate {
        let Estimate { value, error } = self.mean();
        Estimate {
            value: value.exp(),
            error: error * value.exp(),
        }
    }
}

impl Divergence {
    /// Scores one position: the logits of both models, and the token that follows.
    ///
    /// # Panics
    /// If the models have different numbers of logits, or none for the token.
    pub fn add(&mut self, base: &[f32], other: &[f32], token: u32) {
        assert_eq!(base.len(), other.len(), "logits of two vocabularies");
        let (base_top, base_normalizer) = normalizer(base);
        let (other_top, other_normalizer) = normalizer(other);
        let pairs = base.iter().zip(other);
        let kl: f64 = pairs
            .map(|(&base, &other)| {
                let (p, q) = (
                    f64::from(base) - base_normalizer,
                    f64::from(other) - other_normalizer,
                );
                f64::from((p as f32).exp()) * (p - q)
            })
            .sum();
        // Rounding can make a little less than nothing of nothing.
        self.kl.push(kl.max(0.0) as f32);
        let token = token as usize;
        let base = base_normalizer - f64::from(base[token]);
        let other = other_normalizer - f64::from(other[token]);
        self.base.add(base);
        self.other.add(other);
        self.difference.add(other - base);
        self.probability
            .add(((-other).exp() - (-base).exp()).powi(2));
        self.same_top += usize::from(base_top == other_top);
    }

    /// Mean divergence so far.
    pub fn mean_kl(&self) -> f64 {
        self.kl_moments().mean().value
    }

    fn kl_moments(&self) -> Moments {
        let mut moments = Moments::default();
        self.kl.iter().for_each(|&kl| moments.add(f64::from(kl)));
        moments
    }

    /// What all positions come to. All is NaN without any.
    pub fn summary(&self) -> Summary {
        let mut sorted = self.kl.clone();
        sorted.sort_by(f32::total_cmp);
        let quantile = |fraction: f64| {
            let place = (fraction * (sorted.len() as f64 - 1.0)).round() as usize;
            sorted.get(place).map_or(f64::NAN, |&kl| f64::from(kl))
        };
        let count = sorted.len() as f64;
        let same = self.same_top as f64 / count;
        Summary {
            tokens: sorted.len(),
            base_perplexity: self.base.exp_mean(),
            perplexity: self.other.exp_mean(),
            ratio: self.difference.exp_mean(),
            mean_kl: self.kl_moments().mean(),
            median_kl: quantile(0.5),
            kl_999: quantile(0.999),
            greatest_kl: quantile(1.0),
            same_top: Estimate {
                value: same,
                error: (same * (1.0 - same) / (count - 1.0)).sqrt(),
            },
            probability_change: self.probability.mean().value.sqrt(),
        }
    }
}

/// The most likely token, and the logarithm of the sum of all exponentials.
fn normalizer(logits: &[f32]) -> (usize, f64) {
    let (mut top, mut largest) = (0, f32::NEG_INFINITY);
    for (token, &logit) in logits.iter().enumerate() {
        if logit > largest {
            (top, largest) = (token, logit);
        }
    }
    let sum: f64 = logits
        .iter()
        .map(|logit| f64::from((logit - largest).exp()))
        .sum();
    (top, f64::from(largest) + sum.ln())
}

/// Runs `tokens` through two models side by side and scores the tokens behind position `first`, each given all before it.
///
/// The models take turns every few positions, so that the logits of a whole text are never in memory.
///
/// # Errors
/// As those of [`Generator::for_each_logits`].
///
/// # Panics
/// If the vocabularies differ.
pub fn compare(
    base: &mut Generator,
    other: &mut Generator,
    tokens: &[u32],
    first: usize,
    divergence: &mut Divergence,
) -> Result<()> {
    /// Positions of one turn.
    const TURN: usize = 64;
    let columns = base.model().config().vocabulary;
    let mut rows = Vec::new();
    let seen = tokens.len().saturating_sub(1);
    let mut start = first;
    while start < seen {
        let end = (start + TURN).min(seen);
        rows.clear();
        base.for_each_logits(&tokens[..end], start, |_, logits| {
            rows.extend_from_slice(logits);
        })?;
        other.for_each_logits(&tokens[..end], start, |position, logits| {
            let row = position - start;
            let base = &rows[row * columns..(row + 1) * columns];
            divergence.add(base, logits, tokens[position + 1]);
        })?;
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the definitions, written out in f64.
    #[test]
    fn sums_are_the_definitions() {
        let base = [0.3_f32, -1.2, 2.5, 0.0];
        let other = [0.1_f32, -1.0, 2.0, 0.7];
        let softmax = |logits: &[f32]| -> Vec<f64> {
            let exps: Vec<f64> = logits.iter().map(|&x| f64::from(x).exp()).collect();
            let sum: f64 = exps.iter().sum();
            exps.iter().map(|x| x / sum).collect()
        };
        let (p, q) = (softmax(&base), softmax(&other));
        let kl: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
        let mut divergence = Divergence::default();
        divergence.add(&base, &other, 3);
        divergence.add(&base, &base, 2);
        divergence.add(&base, &[9.0, 0.0, 0.0, 0.0], 0);
        let summary = divergence.summary();
        assert!((f64::from(divergence.kl[0]) - kl).abs() < 1e-6);
        assert!(f64::from(divergence.kl[1]).abs() < 1e-6);
        assert!((summary.same_top.value - 2.0 / 3.0).abs() < 1e-9);
        let likelihoods = p[3].ln() + p[2].ln() + p[0].ln();
        assert!((summary.base_perplexity.value - (-likelihoods / 3.0).exp()).abs() < 1e-6);
        assert_eq!(
            (summary.tokens, summary.median_kl),
            (3, f64::from(divergence.kl[0]))
        );
    }
}
