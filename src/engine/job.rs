//! A request on its way through the engine.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dino_models::SequenceId;

use super::channel::Sender;
use super::error::EngineError;
use super::speculate::{Speculation, Speculator, StepCost};
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
    /// Tokens that it runs in this step, guessed ones among them.
    pub(super) rows: usize,
    speculator: Option<Speculator>,
    /// Tokens that this step guesses behind those that are certain.
    pub(super) guess: Vec<u32>,
    /// Tokens guessed so far, and those of them that were right.
    guessed: (usize, usize),
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
    /// Tokens guessed, and those of them that were right.
    pub(super) guessed: (usize, usize),
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
            speculator: None,
            guess: Vec::new(),
            guessed: (0, 0),
            step: Step::default(),
            energy: None,
            span: tracing::debug_span!("request", number = rank.1, priority = rank.0.0),
        }
    }

    /// Tells jobs apart that share nothing: the id of the adapter, 0 without one.
    pub(super) fn variant(&self) -> u64 {
        let adapter = self.continuation.adapter();
        adapter.map_or(0, |adapter| adapter.id())
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

    /// Lets it guess ahead.
    pub(super) fn speculate(&mut self, speculation: &Speculation) {
        self.speculator = Some(Speculator::new(speculation));
    }

    /// Guesses at most `most` tokens, if it has one token to run and wants to guess. A draft model that fails is not
    /// asked again: the text does not depend on it.
    pub(super) fn guess_ahead(&mut self, most: usize, cost: (&StepCost, usize)) {
        self.guess.clear();
        let most = most.min(self.continuation.left().saturating_sub(1));
        let (1, Some(speculator)) = (self.unseen().len(), &mut self.speculator) else {
            return;
        };
        let vocabulary = self.continuation.model().config().vocabulary;
        match speculator.guess(self.continuation.ids(), most, cost) {
            Ok(guess) => {
                let known = guess
                    .into_iter()
                    .take_while(|&id| (id as usize) < vocabulary);
                self.guess.extend(known);
            }
            Err(error) => {
                let _inside = self.span.enter();
                tracing::warn!(%error, "the draft model failed");
                self.speculator = None;
            }
        }
    }

    /// Draws the next tokens, one from each row of logits, as long as what was guessed is what is drawn.
    pub(super) fn draw(&mut self, rows: &mut [&mut [f32]]) {
        let now = Instant::now();
        let mut right = 0;
        for (at, logits) in rows.iter_mut().enumerate() {
            self.draw_one(logits);
            let is_right = self.guess.get(at) == self.continuation.ids().last();
            if self.has_ended() || !is_right {
                break;
            }
            right += 1;
        }
        self.times.first_token.get_or_insert(now);
        let last = self.times.last_token.replace(now);
        self.step.since_last_token = last.map(|last| now - last);
        if let (Some(speculator), false) = (&mut self.speculator, self.guess.is_empty()) {
            speculator.learn(self.guess.len(), right);
            self.step.guessed = (self.guess.len(), right);
            self.guessed.0 += self.guess.len();
            self.guessed.1 += right;
        }
        if let Some(place) = &mut self.place {
            // The token drawn last has not been run.
            place.seen = place.seen.min(self.continuation.ids().len() - 1);
        }
    }

    /// Draws a token and tells the stream. What the request's own code throws fails this job alone.
    fn draw_one(&mut self, logits: &mut [f32]) {
        let drawn = catch_unwind(AssertUnwindSafe(|| self.continuation.draw(logits)));
        let drawn = drawn.unwrap_or_else(|thrown| {
            let message = message(&*thrown);
            Err(EngineError::ProcessorPanicked { message }.into())
        });
        match drawn {
            Ok(token) => {
                self.step.drawn += 1;
                self.events.send(Event::Token(token, self.progress()));
            }
            Err(error) => self.fail(error),
        }
    }

    /// Tells the request how far its prompt is. What its own code throws fails this job alone.
    pub(super) fn report_prompt(&mut self) {
        let seen = self.place.map_or(0, |place| place.seen);
        let report = AssertUnwindSafe(|| self.continuation.report_seen(seen));
        if let Err(thrown) = catch_unwind(report) {
            let message = message(&*thrown);
            self.fail(EngineError::ProcessorPanicked { message }.into());
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

    /// Whether its next token can be drawn now.
    pub(super) fn has_run_all(&self) -> bool {
        let seen = self.place.map_or(0, |place| place.seen);
        seen >= self.continuation.ids().len()
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
                guessed: self.guessed,
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
