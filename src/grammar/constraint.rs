//! A grammar at work on one text.

use std::fmt;

use llguidance::Matcher;

use super::GrammarError;
use crate::{LogitsProcessor, ProcessorError, TokenContext};

/// Masks every token that the grammar does not allow next. The text may end only where the grammar lets it.
///
/// Add it to a request before other processors. A text that `max_tokens`, a stop string or the context cuts off has the
/// grammar's beginning only. With [`ignore_eos`](crate::SamplingParams::ignore_eos) a text fails with
/// [`AllMasked`](crate::SamplingError::AllMasked) where the grammar ends.
///
/// A clone made before the first token serves another text.
#[derive(Clone)]
pub struct Constraint {
    matcher: Matcher,
    /// Generated tokens that the matcher has seen.
    seen: usize,
}

impl Constraint {
    pub(super) fn new(matcher: Matcher) -> Self {
        Self { matcher, seen: 0 }
    }

    /// Whether the text may end after the tokens seen so far.
    pub fn is_complete(&mut self) -> bool {
        self.matcher.is_accepting().unwrap_or(false)
    }

    fn stuck(&self, error: &dyn fmt::Display) -> GrammarError {
        GrammarError::Stuck {
            tokens: self.seen,
            message: error.to_string(),
        }
    }
}

impl LogitsProcessor for Constraint {
    fn process(
        &mut self,
        context: &TokenContext<'_>,
        logits: &mut [f32],
    ) -> Result<(), ProcessorError> {
        let unseen = context.generated.get(self.seen..).unwrap_or_default();
        let consumed = self.matcher.consume_tokens(unseen);
        consumed.map_err(|error| self.stuck(&error))?;
        self.seen = context.generated.len();
        let mask = self.matcher.compute_mask_or_eos();
        let mask = mask.map_err(|error| self.stuck(&error))?;
        for (word, logits) in mask.as_slice().iter().zip(logits.chunks_mut(32)) {
            if *word == u32::MAX {
                continue;
            }
            for (bit, logit) in logits.iter_mut().enumerate() {
                if word >> bit & 1 == 0 {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Constraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Constraint")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
