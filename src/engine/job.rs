//! A request on its way through the engine.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dino_models::SequenceId;

use super::channel::Sender;
use super::error::EngineError;
use crate::generator::continuation::Continuation;
use crate::generator::stats::Clock;
use crate::{Error, FinishReason, Token, Usage};

/// A request that waits or runs.
pub(super) struct Job {
    pub(super) continuation: Continuation,
    pub(super) rank: Rank,
    pub(super) events: Sender<Event>,
    times: Times,
    /// What it has in the cache while it runs.
    pub(super) place: Option<Place>,
    /// Tokens that it runs in this step.
    pub(super) rows: usize,
    /// What came of this step.
    pub(super) step: Step,
    /// Joules that it took so far, where that is known.
    energy: Option<f64>,
    span: tracing::Span,
    /// Held until it runs for the first time.
    ticket: Option<Ticket>,
}

/// Who goes first: higher priority, then who came first. Lower ranks are better.
pub(super) type Rank = (Reverse<i32>, u64);

/// A running job's sequence in the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) sequence: SequenceId,
    /// Tokens that the model has seen.
    pub(super) seen: usize,
}

/// A place in the bounded queue, given back when dropped.
pub(super) struct Ticket(Arc<AtomicUsize>);

impl Ticket {
    /// A place among at most `limit`, if one is left.
    ///
    /// # Errors
    /// [`EngineError::Busy`].
    pub(super) fn take(queued: &Arc<AtomicUsize>, limit: usize) -> Result<Self, EngineError> {
        let more = |waiting: usize| (waiting < limit).then_some(waiting + 1);
        match queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self(Arc::clone(queued))),
            Err(waiting) => Err(EngineError::Busy { waiting, limit }),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Times {
    submitted: Instant,
    admitted: Option<Instant>,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
}

/// What came of a job's part of one step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    /// Tokens of the prompt that were run.
    pub(super) prompt_tokens: usize,
    /// Tokens drawn.
    pub(super) drawn: usize,
    /// How long the token before them was ago.
    pub(super) since_last_token: Option<Duration>,
}

/// What a stream is told.
pub(super) enum Event {
    Token(Token, Progress),
    /// With the stop string that ended it.
    Ended(FinishReason, Option<String>, Progress),
    Failed(Error, Progress),
}

/// How far a request is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) usage: Usage,
    pub(super) clock: Clock,
}

impl Job {
    /// A job that waits from now on; with a `ticket` it counts in the bounded queue.
    pub(super) fn new(
        continuation: Continuation,
        rank: Rank,
        ticket: Option<Ticket>,
        events: Sender<Event>,
    ) -> Self {
        Self {
            continuation,
            rank,
            events,
            ticket,
            times: Times {
                submitted: Instant::now(),
                admitted: None,
                first_token: None,
                last_token: None,
            },
            place: None,
            rows: 0,
            step: Step::default(),
            energy: None,
            span: tracing::debug_span!("request", number = rank.1, priority = rank.0.0),
        }
    }

    /// Tokens that the model has to see before the next one can be drawn.
    pub(super) fn unseen(&self) -> &[u32] {
        let seen = self.place.map_or(0, |place| place.seen);
        &self.continuation.ids()[seen..]
    }

    /// Begins to run at `place`, or goes on there after it was preempted.
    pub(super) fn admit(&mut self, place: Place) {
        if self.times.admitted.is_none() {
            self.times.admitted = Some(Instant::now());
            self.continuation.set_cached_tokens(place.seen);
        }
        self.span
            .in_scope(|| tracing::debug!(cached_tokens = place.seen, "runs"));
        self.ticket = None;
        self.place = Some(place);
    }

    /// Whether it ends here: cancelled, too late, or nobody listens.
    pub(super) fn is_interrupted(&mut self) -> bool {
        if self.events.is_closed() {
            self.continuation.cancel();
        }
        self.continuation.is_interrupted()
    }

    /// Draws the next token and tells the stream. What the request's own code throws fails this job alone.
    pub(super) fn draw(&mut self, logits: &mut [f32]) {
        let drawn = catch_unwind(AssertUnwindSafe(|| self.continuation.draw(logits)));
        let drawn = drawn.unwrap_or_else(|thrown| {
            let message = message(&*thrown);
            Err(EngineError::ProcessorPanicked { message }.into())
        });
        let now = Instant::now();
        self.times.first_token.get_or_insert(now);
        let last = self.times.last_token.replace(now);
        self.step.since_last_token = last.map(|last| now - last);
        self.step.drawn += 1;
        match drawn {
            Ok(token) => self.events.send(Event::Token(token, self.progress())),
            Err(error) => self.fail(error),
        }
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.continuation.fail();
        self.events.send(Event::Failed(error, self.progress()));
    }

    /// Counts the rows of this step as seen.
    pub(super) fn advance(&mut self) {
        let prompt = self.continuation.usage().prompt_tokens;
        if let Some(place) = &mut self.place {
            let before = place.seen;
            place.seen += self.rows;
            self.step = Step {
                prompt_tokens: place.seen.min(prompt) - before.min(prompt),
                ..Step::default()
            };
        }
    }

    pub(super) fn add_energy(&mut self, joules: f64) {
        *self.energy.get_or_insert(0.0) += joules;
    }

    /// Whether it has drawn a token.
    pub(super) fn has_begun(&self) -> bool {
        self.times.first_token.is_some()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.continuation.finish_reason().is_some()
    }

    /// Tells the stream that this was all; a failure it knows already.
    pub(super) fn close(self) {
        let reason = self.continuation.finish_reason();
        self.span.in_scope(|| {
            let usage = self.continuation.usage();
            tracing::debug!(?reason, generated_tokens = usage.completion_tokens, "ended");
        });
        let Some(reason) = reason.filter(|&reason| reason != FinishReason::Failed) else {
            return;
        };
        let stop = self.continuation.stop().cloned();
        self.events
            .send(Event::Ended(reason, stop, self.progress()));
    }

    pub(super) fn progress(&self) -> Progress {
        let Times {
            submitted,
            admitted,
            first_token,
            ..
        } = self.times;
        let now = Instant::now();
        let admitted = admitted.unwrap_or(now);
        let first_token = first_token.unwrap_or(now);
        Progress {
            usage: self.continuation.usage(),
            clock: Clock {
                queue: admitted - submitted,
                prompt: first_token - admitted,
                decode: now - first_token,
                energy: self.energy,
            },
        }
    }
}

/// What a panic said.
pub(super) fn message(thrown: &(dyn std::any::Any + Send)) -> String {
    let text = thrown.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| thrown.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
