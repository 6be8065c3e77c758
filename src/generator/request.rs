//! All that one generation needs to know.

use std::fmt;

use super::Prompt;
use crate::{CancelToken, LogitsProcessor, SamplingParams};

/// A prompt and how it is to be continued.
///
/// ```
/// use dino_llm::{CancelToken, Request, SamplingParams, TokenContext};
///
/// let cancel = CancelToken::new();
/// let request = Request::new("Once upon a time", &SamplingParams::creative())
///     .cancel(&cancel)
///     .processor(|_: &TokenContext<'_>, logits: &mut [f32]| logits[13] = f32::NEG_INFINITY);
/// # drop(request);
/// ```
pub struct Request {
    pub(super) prompt: Prompt,
    pub(super) params: SamplingParams,
    pub(super) cancel: CancelToken,
    pub(super) processors: Vec<Box<dyn LogitsProcessor>>,
}

impl Request {
    /// A request without processors that only its stream can cancel.
    pub fn new(prompt: impl Into<Prompt>, params: &SamplingParams) -> Self {
        Self {
            prompt: prompt.into(),
            params: params.clone(),
            cancel: CancelToken::new(),
            processors: Vec::new(),
        }
    }

    /// Ends the generation when `token` says so.
    #[must_use]
    pub fn cancel(self, token: &CancelToken) -> Self {
        Self {
            cancel: token.clone(),
            ..self
        }
    }

    /// Adds a processor after those already there.
    #[must_use]
    pub fn processor(mut self, processor: impl LogitsProcessor + 'static) -> Self {
        self.processors.push(Box::new(processor));
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("prompt", &self.prompt)
            .field("params", &self.params)
            .field("cancel", &self.cancel)
            .field("processors", &self.processors.len())
            .finish()
    }
}
