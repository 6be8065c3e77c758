//! The place where an application changes logits before a token is drawn.

/// What a failing processor reports; it becomes the source of
/// [`SamplingError::Processor`](super::SamplingError::Processor).
pub type ProcessorError = Box<dyn std::error::Error + Send + Sync>;

/// The tokens so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenContext<'a> {
    /// Ids of the prompt.
    pub prompt: &'a [u32],
    /// Ids generated after it.
    pub generated: &'a [u32],
}

impl<'a> TokenContext<'a> {
    /// The last `count` ids of prompt and generated text together, in two runs: of the prompt, then of the rest.
    pub fn last(&self, count: usize) -> (&'a [u32], &'a [u32]) {
        let generated = &self.generated[self.generated.len().saturating_sub(count)..];
        let from_prompt = count - generated.len();
        let prompt = &self.prompt[self.prompt.len().saturating_sub(from_prompt)..];
        (prompt, generated)
    }
}

/// Changes logits before the built-in steps see them: grammars, bans, watermarks.
///
/// A closure `FnMut(&TokenContext, &mut [f32])` is one too.
pub trait LogitsProcessor: Send {
    /// Edits `logits`, `[vocabulary]`, in place; negative infinity masks a token for good.
    ///
    /// # Errors
    /// Whatever makes it impossible to go on; generation ends with it.
    fn process(
        &mut self,
        context: &TokenContext<'_>,
        logits: &mut [f32],
    ) -> Result<(), ProcessorError>;
}

impl<F: FnMut(&TokenContext<'_>, &mut [f32]) + Send> LogitsProcessor for F {
    fn process(
        &mut self,
        context: &TokenContext<'_>,
        logits: &mut [f32],
    ) -> Result<(), ProcessorError> {
        self(context, logits);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_spans_prompt_and_generated() {
        let context = TokenContext {
            prompt: &[1, 2, 3],
            generated: &[4, 5],
        };
        assert_eq!(context.last(0), (&[][..], &[][..]));
        assert_eq!(context.last(1), (&[][..], &[5][..]));
        assert_eq!(context.last(3), (&[3][..], &[4, 5][..]));
        assert_eq!(context.last(usize::MAX), (&[1, 2, 3][..], &[4, 5][..]));
    }
}
