//! Logits of given tokens: perplexity, parity, ranking.

use dino_models::Wanted;
use ndarray::{Array2, ArrayView1, Axis};

use super::Generator;
use super::sequence::check_context;
use crate::Result;

/// Logits of one pass take at most this many values, so that memory does not grow with the text.
const MOST_VALUES: usize = 1 << 23;

impl Generator {
    /// Runs `tokens` and calls `visit(position, logits)` with the logits of each position from `first` on, in order.
    /// `logits`, `[vocabulary]`, are those of the token that follows.
    ///
    /// Tokens before `first` only fill the cache, which is much cheaper for a small model, and are not run again if the
    /// last text began with them.
    ///
    /// # Errors
    /// [`ModelError::ContextOverflow`](dino_models::ModelError::ContextOverflow);
    /// [`ModelError::TokenOutOfRange`](dino_models::ModelError::TokenOutOfRange).
    pub fn for_each_logits(
        &mut self,
        tokens: &[u32],
        first: usize,
        mut visit: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        let model = self.model().clone();
        check_context(&model, tokens.len())?;
        let mut sequence = self.take_sequence();
        let most_rows = (MOST_VALUES / model.config().vocabulary.max(1)).max(1);
        sequence.adapt(None)?;
        let mut done = sequence.keep_prefix(tokens, first)?;
        while done < tokens.len() {
            let (wanted, end) = if done < first {
                (Wanted::Nothing, first.min(tokens.len()))
            } else {
                (Wanted::All, (done + most_rows).min(tokens.len()))
            };
            let end = end.min(done + model.prompt_chunk());
            sequence.push(&model, &tokens[done..end], wanted)?;
            if wanted == Wanted::All {
                for position in done..end {
                    visit(position, sequence.logits_mut(position - done));
                }
            }
            done = end;
        }
        self.return_sequence(sequence);
        Ok(())
    }

    /// The logits of every position of `tokens`, `[tokens, vocabulary]`; row `i` are those of token `i + 1`.
    ///
    /// # Errors
    /// As those of [`Self::for_each_logits`].
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Array2<f32>> {
        let columns = self.model().config().vocabulary;
        check_context(self.model(), tokens.len())?;
        let mut logits = Array2::zeros((tokens.len(), columns));
        self.for_each_logits(tokens, 0, |position, row| {
            logits
                .index_axis_mut(Axis(0), position)
                .assign(&ArrayView1::from(row));
        })?;
        Ok(logits)
    }
}
