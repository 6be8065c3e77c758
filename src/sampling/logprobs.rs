//! Log probabilities of the model's own distribution.

use super::exponential::exp_nonpositive;
use super::filters::Candidates;

/// A token and its log probability.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct TokenLogprob {
    /// The token.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

/// `ln` of the sum of `e^logit`; `-inf` logits count nothing.
pub(super) fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights = logits.iter().map(|&logit| exp_nonpositive(logit - max));
    f64::from(max) + weights.map(f64::from).sum::<f64>().ln()
}

/// The `count` most likely tokens, most likely first.
pub(super) fn top(
    logits: &[f32],
    log_sum: f64,
    count: usize,
    scratch: &mut Candidates,
) -> Vec<TokenLogprob> {
    if count == 0 {
        return Vec::new();
    }
    scratch.gather(logits, count);
    scratch.sort();
    scratch
        .as_slice()
        .iter()
        .map(|candidate| TokenLogprob {
            id: candidate.id,
            logprob: (f64::from(logits[candidate.id as usize]) - log_sum) as f32,
        })
        .collect()
}
