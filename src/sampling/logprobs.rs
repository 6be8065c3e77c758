//! Log probabilities of the model's own distribution.

use super::filters::{Candidates, Scratch};

/// A token and its log probability.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct TokenLogprob {
    /// The token.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub logprob: f32,
}

/// `ln` of the sum of `e^logit`; `-inf` logits count nothing.
pub(super) fn log_sum_exp(logits: &[f32], scratch: &mut Scratch) -> f64 {
    Candidates::gather(logits, 0, scratch).log_sum_exp()
}

/// The `count` most likely tokens, most likely first.
pub(super) fn top(
    logits: &[f32],
    log_sum: f64,
    count: usize,
    scratch: &mut Scratch,
) -> Vec<TokenLogprob> {
    if count == 0 {
        return Vec::new();
    }
    let mut candidates = Candidates::gather(logits, count, scratch);
    let mut top: Vec<_> = candidates.listed().to_vec();
    // Already in order, unless the whole vocabulary was asked for.
    top.sort_by(|a, b| b.delta.total_cmp(&a.delta).then(a.id.cmp(&b.id)));
    top.iter()
        .map(|candidate| TokenLogprob {
            id: candidate.id,
            logprob: (f64::from(logits[candidate.id as usize]) - log_sum) as f32,
        })
        .collect()
}
