//! The counts themselves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{Energy, Histogram};
use crate::{FinishReason, peak_memory};

/// What an engine counts; [`Engine::metrics`](crate::Engine::metrics) gives it. It outlives its engine.
#[derive(Clone, Debug)]
pub struct EngineMetrics(Arc<Mutex<MetricsSnapshot>>);

/// The counts of one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// Requests that run.
    pub running: usize,
    /// Requests that wait, those among them that have run before.
    pub waiting: usize,
    /// Requests that came to an end.
    pub finished: Finished,
    /// Requests that were refused because too many waited.
    pub refused: u64,
    /// Times that a request had to give way and wait again.
    pub preemptions: u64,
    /// Tokens of prompts that were run.
    pub prompt_tokens: u64,
    /// Tokens of prompts that were known and not run.
    pub cached_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Forward passes.
    pub steps: u64,
    /// Time in which there was something to do.
    #[serde(serialize_with = "seconds")]
    pub busy: Duration,
    /// Pages of the cache in use, those that are only remembered among them.
    pub cache_pages: usize,
    /// Pages that are remembered for prompts that begin as a past one did.
    pub cache_pages_remembered: usize,
    /// Pages that the cache may have.
    pub cache_pages_limit: usize,
    /// Bytes of a page.
    pub cache_page_bytes: usize,
    /// From submission to the first step.
    pub queue_time: Histogram,
    /// From submission to the first token.
    pub time_to_first_token: Histogram,
    /// From the first step to the first token.
    pub prefill_time: Histogram,
    /// From the first token to the last.
    pub decode_time: Histogram,
    /// From each token to the next.
    pub time_per_output_token: Histogram,
    /// From submission to the end.
    pub end_to_end: Histogram,
    /// Tokens that were guessed ahead.
    pub drafted_tokens: u64,
    /// Those of them that were right.
    pub accepted_tokens: u64,
    /// Energy used while there was something to do.
    pub energy: Energy,
    /// The most bytes that this process has had in memory so far, where the system tells (Linux).
    pub peak_memory: Option<u64>,
}

/// Requests that came to an end, by how they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finished {
    /// By the model, a stop string or a stop token.
    pub stop: u64,
    /// By `max_tokens` or a full context.
    pub length: u64,
    /// By being cancelled.
    pub cancelled: u64,
    /// By their deadline.
    pub deadline: u64,
    /// By an error.
    pub failed: u64,
}

impl Finished {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.stop + self.length + self.cancelled + self.deadline + self.failed
    }

    pub(in crate::engine) fn count(&mut self, reason: FinishReason) {
        let count = match reason {
            FinishReason::Stop => &mut self.stop,
            FinishReason::Length => &mut self.length,
            FinishReason::Cancelled => &mut self.cancelled,
            FinishReason::Deadline => &mut self.deadline,
            FinishReason::Failed => &mut self.failed,
        };
        *count += 1;
    }
}

impl EngineMetrics {
    pub(in crate::engine) fn new(cache_pages_limit: usize, cache_page_bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(MetricsSnapshot {
            running: 0,
            waiting: 0,
            finished: Finished::default(),
            refused: 0,
            preemptions: 0,
            prompt_tokens: 0,
            cached_tokens: 0,
            generated_tokens: 0,
            steps: 0,
            busy: Duration::ZERO,
            cache_pages: 0,
            cache_pages_remembered: 0,
            cache_pages_limit,
            cache_page_bytes,
            queue_time: Histogram::default(),
            time_to_first_token: Histogram::default(),
            prefill_time: Histogram::default(),
            decode_time: Histogram::default(),
            time_per_output_token: Histogram::default(),
            end_to_end: Histogram::default(),
            drafted_tokens: 0,
            accepted_tokens: 0,
            energy: Energy::NotAvailable("nothing was run yet".into()),
            peak_memory: None,
        })))
    }

    /// The counts as they are now.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let mut snapshot = self.lock().clone();
        snapshot.peak_memory = peak_memory();
        snapshot
    }

    pub(in crate::engine) fn lock(&self) -> MutexGuard<'_, MetricsSnapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetricsSnapshot {
    /// Tokens of prompts that were run, a second of [`busy`](Self::busy) time.
    pub fn prompt_tokens_per_second(&self) -> f64 {
        share(self.prompt_tokens as f64, self.busy.as_secs_f64())
    }

    /// Tokens generated, a second of [`busy`](Self::busy) time.
    pub fn decode_tokens_per_second(&self) -> f64 {
        share(self.generated_tokens as f64, self.busy.as_secs_f64())
    }

    /// The share of the cache in use, 0 to 1.
    pub fn cache_usage(&self) -> f64 {
        share(self.cache_pages as f64, self.cache_pages_limit as f64)
    }

    /// The share of prompt tokens that were known, 0 to 1.
    pub fn prefix_hit_rate(&self) -> f64 {
        let all = self.prompt_tokens + self.cached_tokens;
        share(self.cached_tokens as f64, all as f64)
    }

    /// The share of tokens guessed ahead that were right, 0 to 1.
    pub fn acceptance_rate(&self) -> f64 {
        share(self.accepted_tokens as f64, self.drafted_tokens as f64)
    }

    /// Joules for each token generated, prompts included, if the system tells.
    pub fn joules_per_token(&self) -> Option<f64> {
        let joules = self.energy.joules()?;
        (self.generated_tokens > 0).then(|| joules / self.generated_tokens as f64)
    }

    /// Joules for each request that came to an end, if the system tells.
    pub fn joules_per_request(&self) -> Option<f64> {
        let joules = self.energy.joules()?;
        let finished = self.finished.total();
        (finished > 0).then(|| joules / finished as f64)
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
