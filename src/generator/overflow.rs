//! What happens to a text that is longer than the context.

use dino_models::ModelError;

use crate::Result;

/// What happens when prompt and answer together are longer than the context; [`Request::overflow`](crate::Request::overflow)
/// takes one.
///
/// The policies that truncate drop tokens of the prompt before anything is run, so that `max_tokens` still fit behind it, or one
/// token where the parameters set no limit; a prompt never shrinks below half the context for that. The answer ends with
/// [`FinishReason::Length`](crate::FinishReason::Length) when the context is full.
/// [`Usage::truncated_tokens`](crate::Usage::truncated_tokens) says how many tokens were dropped.
///
/// ```
/// use dino_llm::{ContextOverflow, Request, SamplingParams};
///
/// let log = "…a very long log…";
/// let request = Request::new(log, &SamplingParams::greedy().with_max_tokens(200))
///     .overflow(ContextOverflow::TruncateMiddle);
/// # drop(request);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContextOverflow {
    /// A prompt that leaves no room for a token is refused with
    /// [`ModelError::ContextOverflow`](dino_models::ModelError::ContextOverflow).
    #[default]
    Error,
    /// The oldest tokens of the prompt are dropped, except for the one with which this model begins every text.
    TruncateHead,
    /// Tokens in the middle of the prompt are dropped: half of what stays is its beginning, half its end.
    TruncateMiddle,
    /// The newest tokens of the prompt are dropped.
    TruncateTail,
    /// The text goes on without end: whenever the context is full, the first `keep` tokens and the newest half of the rest
    /// stay. Prompts that are too long lose their middle in the same way.
    ///
    /// The first tokens hold much of the attention whatever they say (the *attention sinks* of StreamingLLM,
    /// arXiv:2309.17453); a model without them goes astray, so `keep` should be 4 at least, or a system prompt's length.
    /// At most the context less two tokens are kept.
    ///
    /// What stays is run anew at its new positions, once for every half context. So the model is exactly where a fresh run of
    /// the tokens that stay would be, but it knows nothing of what was dropped: facts that left the window are lost. Penalties
    /// and processors still see the whole answer.
    Slide {
        /// Tokens at the beginning that always stay.
        keep: usize,
    },
}

impl ContextOverflow {
    /// Cuts a prompt so that `context` holds it and an answer of `max_tokens`; gives the number of tokens dropped. `begins` is
    /// the token that begins every text.
    pub(super) fn fit(
        self,
        ids: &mut Vec<u32>,
        context: usize,
        max_tokens: Option<usize>,
        begins: Option<u32>,
    ) -> Result<usize> {
        let before = ids.len();
        let needed = before + 1;
        let is_hopeless = context < 2;
        if needed > context && (is_hopeless || self == Self::Error) {
            let limit = context;
            return Err(ModelError::ContextOverflow { needed, limit }.into());
        }
        let room = max_tokens.unwrap_or(1).min(context / 2).max(1);
        let limit = context.saturating_sub(room).max(1);
        let drop = before.saturating_sub(limit);
        match self {
            Self::Error => {}
            Self::TruncateHead => {
                let begin = usize::from(limit > 1 && ids.first().copied() == begins);
                ids.drain(begin..begin + drop);
            }
            Self::TruncateMiddle => {
                let begin = (before - drop) / 2;
                ids.drain(begin..begin + drop);
            }
            Self::TruncateTail => ids.truncate(before - drop),
            Self::Slide { keep } => {
                slide(ids, keep, context);
            }
        }
        Ok(before - ids.len())
    }
}

/// If `ids` fill the context, drops all but the first `keep` and the newest half of the rest; gives how many of the first
/// tokens are where they were. `context` is 2 at least.
pub(super) fn slide(ids: &mut Vec<u32>, keep: usize, context: usize) -> Option<usize> {
    if ids.len() < context {
        return None;
    }
    let keep = keep.min(context.saturating_sub(2));
    let newest = (context - keep) / 2;
    ids.drain(keep..ids.len() - newest);
    Some(keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(policy: ContextOverflow, tokens: u32, context: usize, most: usize) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..tokens).collect();
        let dropped = policy.fit(&mut ids, context, Some(most), Some(0)).unwrap();
        assert_eq!(dropped + ids.len(), tokens as usize);
        ids
    }

    #[test]
    fn each_policy_drops_its_part_and_leaves_room() {
        use ContextOverflow::{Slide, TruncateHead, TruncateMiddle, TruncateTail};
        assert_eq!(fitted(TruncateHead, 12, 8, 3), [0, 8, 9, 10, 11]);
        assert_eq!(fitted(TruncateMiddle, 12, 8, 3), [0, 1, 9, 10, 11]);
        assert_eq!(fitted(TruncateTail, 12, 8, 3), [0, 1, 2, 3, 4]);
        assert_eq!(fitted(Slide { keep: 2 }, 12, 8, 3), [0, 1, 9, 10, 11]);
        // What fits stays whole; of half the context the answer cannot rob the prompt.
        for policy in [
            TruncateHead,
            TruncateMiddle,
            TruncateTail,
            Slide { keep: 6 },
        ] {
            assert_eq!(fitted(policy, 1, 8, 3), [0]);
            assert_eq!(fitted(policy, 5, 8, 3), [0, 1, 2, 3, 4]);
        }
        assert_eq!(fitted(TruncateTail, 5, 8, 100).len(), 4);
        assert_eq!(fitted(TruncateTail, 3, 8, 100).len(), 3);
    }

    #[test]
    fn any_context_of_two_tokens_or_more_keeps_some_and_leaves_room() {
        for context in 2..20 {
            for keep in 0..25 {
                for policy in [
                    ContextOverflow::Slide { keep },
                    ContextOverflow::TruncateHead,
                    ContextOverflow::TruncateMiddle,
                    ContextOverflow::TruncateTail,
                ] {
                    let ids = fitted(policy, 30, context, keep.max(1));
                    assert!((1..context).contains(&ids.len()), "{policy:?} of {context}");
                }
            }
        }
        for policy in [ContextOverflow::Error, ContextOverflow::TruncateHead] {
            assert!(policy.fit(&mut vec![1], 1, None, None).is_err());
        }
    }
}
