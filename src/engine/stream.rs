//! The tokens of one request.

use std::fmt;

use super::EngineError;
use super::channel::Receiver;
use super::job::{Event, Progress};
use crate::generator::transcript::{Ending, Transcript};
use crate::{CancelToken, Completion, FinishReason, Model, Result, Stats, Token, Usage};

/// The tokens of a request, as the engine generates them.
///
/// The engine does not wait for its reader. Dropping the stream cancels the request, as its [`CancelToken`] does from
/// elsewhere. When it has ended, [`Self::finish_reason`], [`Self::usage`] and [`Self::stats`] say how, and
/// [`Self::into_completion`] gives all of it.
pub struct EngineStream {
    model: Model,
    events: Receiver<Event>,
    cancel: CancelToken,
    seed: u64,
    transcript: Transcript,
    progress: Progress,
    finish_reason: Option<FinishReason>,
    stop: Option<String>,
}

impl EngineStream {
    pub(super) fn new(
        model: &Model,
        events: Receiver<Event>,
        continuation: &crate::generator::continuation::Continuation,
    ) -> Self {
        Self {
            model: model.clone(),
            events,
            cancel: continuation.cancel_token().clone(),
            seed: continuation.seed(),
            transcript: Transcript::default(),
            progress: Progress {
                usage: continuation.usage(),
                ..Progress::default()
            },
            finish_reason: None,
            stop: None,
        }
    }

    /// A token that cancels this request, also while it waits.
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Why the text ended; `None` while it goes on.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish_reason
    }

    /// Tokens counted so far.
    pub fn usage(&self) -> Usage {
        self.progress.usage
    }

    /// How fast it has been so far.
    pub fn stats(&self) -> Stats {
        Stats::new(self.progress.clock, self.usage(), self.model.load_time())
    }

    /// The text so far: that of all tokens, joined.
    pub fn text(&self) -> &str {
        self.transcript.text()
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[Token] {
        self.transcript.tokens()
    }

    /// Waits for the end and gives all of it, tokens already seen included.
    ///
    /// # Errors
    /// [`EngineError`]; what the forward pass and the sampler report.
    pub fn into_completion(mut self) -> Result<Completion> {
        self.complete()
    }

    /// As [`Self::into_completion`]; only the tokens are gone from this stream then.
    pub(crate) fn complete(&mut self) -> Result<Completion> {
        while self.next().transpose()?.is_some() {}
        let ending = Ending {
            finish_reason: self.finish_reason.unwrap_or(FinishReason::Failed),
            stop: self.stop.take(),
            seed: self.seed,
            usage: self.usage(),
            stats: self.stats(),
        };
        Ok(self.transcript.complete(ending))
    }

    /// What an event means to the reader: a token, an error, or the end.
    fn take(&mut self, event: Option<Event>) -> Option<Result<Token>> {
        match event {
            Some(Event::Token(token, progress)) => {
                self.progress = progress;
                self.transcript.push(&token);
                Some(Ok(token))
            }
            Some(Event::Ended(reason, stop, progress)) => {
                self.progress = progress;
                self.stop = stop;
                self.finish_reason = Some(reason);
                None
            }
            Some(Event::Failed(error, progress)) => {
                self.progress = progress;
                self.finish_reason = Some(FinishReason::Failed);
                Some(Err(error))
            }
            // The engine ended without a word.
            None => {
                self.finish_reason = Some(FinishReason::Failed);
                Some(Err(EngineError::Stopped.into()))
            }
        }
    }
}

impl Iterator for EngineStream {
    type Item = Result<Token>;

    /// Waits for the next token.
    fn next(&mut self) -> Option<Result<Token>> {
        if self.finish_reason.is_some() {
            return None;
        }
        let event = self.events.receive();
        self.take(event)
    }
}

/// The same without blocking: `poll_next` wakes the task when there is a token.
#[cfg(feature = "async")]
impl futures_core::Stream for EngineStream {
    type Item = Result<Token>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Token>>> {
        let stream = self.get_mut();
        if stream.finish_reason.is_some() {
            return std::task::Poll::Ready(None);
        }
        stream.events.poll(context).map(|event| stream.take(event))
    }
}

impl fmt::Debug for EngineStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EngineStream")
            .field("model", &self.model)
            .field("usage", &self.usage())
            .field("finish_reason", &self.finish_reason)
            .finish_non_exhaustive()
    }
}
