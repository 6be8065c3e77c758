//! All that one generation needs to know.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dino_models::Adapter;

use super::{ContextOverflow, Prompt};
use crate::{CancelToken, LogitsProcessor, SamplingParams, Speculation};

/// Told how many tokens of the prompt have been run, and of how many.
pub(super) type PromptProgress = Box<dyn FnMut(usize, usize) + Send>;

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
    pub(super) deadline: Option<Instant>,
    pub(super) processors: Vec<Box<dyn LogitsProcessor>>,
    pub(crate) priority: i32,
    pub(crate) speculation: Option<Speculation>,
    pub(super) adapter: Option<Arc<Adapter>>,
    pub(super) overflow: ContextOverflow,
    pub(super) on_prompt_progress: Option<PromptProgress>,
}

impl Request {
    /// A request without processors that only its stream can cancel.
    pub fn new(prompt: impl Into<Prompt>, params: &SamplingParams) -> Self {
        Self {
            prompt: prompt.into(),
            params: params.clone(),
            cancel: CancelToken::new(),
            deadline: None,
            processors: Vec::new(),
            priority: 0,
            speculation: None,
            adapter: None,
            overflow: ContextOverflow::default(),
            on_prompt_progress: None,
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

    /// Ends the generation at this moment, wherever it is.
    #[must_use]
    pub fn deadline(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }

    /// Ends the generation when this much time has gone by from now.
    #[must_use]
    pub fn timeout(self, time: Duration) -> Self {
        // A moment beyond what the clock can say never comes.
        let deadline = Instant::now().checked_add(time);
        Self { deadline, ..self }
    }

    /// An [`Engine`](crate::Engine) runs requests of higher priority first; 0 is usual.
    #[must_use]
    pub fn priority(self, priority: i32) -> Self {
        Self { priority, ..self }
    }

    /// Lets an [`Engine`](crate::Engine) guess tokens ahead; the text stays the same, to the bit.
    #[must_use]
    pub fn speculation(self, speculation: Speculation) -> Self {
        Self {
            speculation: Some(speculation),
            ..self
        }
    }

    /// Runs the model with an adapter; see [`Model::adapter`](crate::Model::adapter).
    #[must_use]
    pub fn adapter(self, adapter: &Arc<Adapter>) -> Self {
        Self {
            adapter: Some(Arc::clone(adapter)),
            ..self
        }
    }

    /// Says what happens when prompt and answer are longer than the context; a prompt that is too long is an error by default.
    #[must_use]
    pub fn overflow(self, overflow: ContextOverflow) -> Self {
        Self { overflow, ..self }
    }

    /// Calls `report(done, total)` after each piece of the prompt that was run: tokens of the prompt, remembered ones among
    /// them. What it [cancels](Self::cancel) ends before the next piece; the size of a piece is the model's
    /// [`prompt_chunk`](crate::ModelBuilder::prompt_chunk).
    ///
    /// It runs between the passes of the model, of an [`Engine`](crate::Engine) on its thread: it should be quick.
    #[must_use]
    pub fn on_prompt_progress(self, report: impl FnMut(usize, usize) + Send + 'static) -> Self {
        Self {
            on_prompt_progress: Some(Box::new(report)),
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
            .field("deadline", &self.deadline)
            .field("priority", &self.priority)
            .field("speculation", &self.speculation)
            .field(
                "adapter",
                &self.adapter.as_ref().map(|adapter| adapter.file()),
            )
            .field("overflow", &self.overflow)
            .field("processors", &self.processors.len())
            .finish()
    }
}
