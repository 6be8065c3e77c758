//! A logits processor: no run of tokens appears twice.

use dino_llm::{LogitsProcessor, ProcessorError, TokenContext};

/// Bans every token that would complete a run of so many tokens that the answer has already.
pub struct NoRepeat(pub usize);

impl LogitsProcessor for NoRepeat {
    fn process(
        &mut self,
        context: &TokenContext<'_>,
        logits: &mut [f32],
    ) -> Result<(), ProcessorError> {
        let seen = context.generated;
        let Some(begun) = self.0.checked_sub(1).filter(|&begun| begun <= seen.len()) else {
            return Ok(());
        };
        let end = &seen[seen.len() - begun..];
        for run in seen.windows(self.0) {
            let (start, last) = run.split_at(begun);
            if start == end {
                logits[last[0] as usize] = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }
}
