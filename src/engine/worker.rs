//! The engine's thread.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use dino_models::{Batch, Cache, Scratch};

use super::EngineError;
use super::job::{Job, Place};
use super::options::Limits;
use super::record::Recorder;
use super::speculate::StepCost;
use super::waiting::Waiting;
use crate::Model;

/// What the worker is told.
pub(super) enum Message {
    /// A new job.
    Run(Box<Job>),
    /// To finish all there is, and then to end.
    Drain,
    /// To end now.
    Stop,
}

/// All jobs, and the cache that they share; lives on a thread of its own.
pub(super) struct Worker {
    pub(super) model: Model,
    pub(super) limits: Limits,
    inbox: Receiver<Message>,
    is_draining: bool,
    pub(super) waiting: Waiting,
    /// The best rank first.
    pub(super) running: Vec<Job>,
    pub(super) cache: Cache,
    pub(super) batch: Batch,
    pub(super) scratch: Scratch,
    pub(super) cost: StepCost,
    pub(super) recorder: Recorder,
}

impl Worker {
    pub(super) fn new(
        model: &Model,
        limits: Limits,
        inbox: Receiver<Message>,
        recorder: Recorder,
    ) -> Self {
        Self {
            model: model.clone(),
            limits,
            inbox,
            is_draining: false,
            waiting: Waiting::default(),
            running: Vec::new(),
            cache: new_cache(model, limits),
            batch: Batch::default(),
            scratch: Scratch::new(),
            cost: StepCost::default(),
            recorder,
        }
    }

    /// Works until it is told to end.
    pub(super) fn work(mut self) {
        while self.receive() {
            self.step();
        }
        let waiting = self.waiting.take_all();
        for mut job in self.running.drain(..).chain(waiting) {
            job.fail(EngineError::Stopped.into());
            self.recorder.finished(&job);
        }
        self.cache = self.model.new_cache_of(Some(0));
        self.record_load();
    }

    /// Takes what is in the inbox, and sleeps while there is nothing to do; false when it is time to end.
    fn receive(&mut self) -> bool {
        loop {
            let is_idle = self.running.is_empty() && self.waiting.is_empty();
            if is_idle && self.is_draining {
                return false;
            }
            let message = if is_idle {
                self.sleep()
            } else {
                self.inbox.try_recv()
            };
            match message {
                Ok(Message::Run(job)) => self.waiting.push(*job),
                Ok(Message::Drain) => self.is_draining = true,
                Ok(Message::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    /// Waits for a message.
    fn sleep(&mut self) -> Result<Message, TryRecvError> {
        self.record_load();
        let message = self.inbox.recv();
        self.recorder.wake();
        message.map_err(|_| TryRecvError::Disconnected)
    }

    /// One step: who runs, what they run, and what came of it.
    fn step(&mut self) {
        let started = Instant::now();
        self.retire();
        self.admit();
        self.record_load();
        if self.compose() {
            let rows = self.batch.tokens().len();
            let span = tracing::debug_span!("step", rows, running = self.running.len());
            span.in_scope(|| self.forward());
        }
        self.record_step(started);
        self.retire();
    }

    /// Lets go of jobs that have ended or were interrupted.
    fn retire(&mut self) {
        for job in self.waiting.take_interrupted() {
            self.recorder.finished(&job);
            job.close();
        }
        let ended = self
            .running
            .extract_if(.., |job| job.has_ended() || job.is_interrupted());
        for mut job in ended {
            leave(&mut self.cache, &mut job);
            self.recorder.finished(&job);
            job.close();
        }
    }

    /// Puts a job among the running ones.
    pub(super) fn start(&mut self, mut job: Job, place: Place) {
        let before = job.continuation.usage().cached_tokens;
        job.admit(place);
        let cached = job.continuation.usage().cached_tokens - before;
        self.recorder.metrics.lock().cached_tokens += cached as u64;
        let at = self
            .running
            .partition_point(|running| running.rank < job.rank);
        self.running.insert(at, job);
    }

    /// Lets a running job wait again; what it has seen and is forgotten until then is run anew.
    pub(super) fn preempt(&mut self, index: usize) {
        let mut job = self.running.remove(index);
        leave(&mut self.cache, &mut job);
        self.recorder.metrics.lock().preemptions += 1;
        self.waiting.push(job);
    }
}

/// An empty cache as the limits have it.
pub(super) fn new_cache(model: &Model, limits: Limits) -> Cache {
    let cache = model.new_cache_of(Some(limits.pages));
    cache.with_snapshots(limits.states)
}

/// Ends a job's sequence; others may use what it has seen.
fn leave(cache: &mut Cache, job: &mut Job) {
    if let Some(place) = job.place.take() {
        // A sequence that the cache does not know has left nothing.
        let _ = cache.retire(place.sequence, job.variant(), job.continuation.ids());
    }
}
