//! What the worker notes of its steps.

use std::path::Path;
use std::time::Instant;

use super::job::Job;
use super::metrics::{Energy, EnergyMeter, EngineMetrics, MetricsSnapshot};
use super::worker::Worker;

/// Writes the engine's metrics.
pub(super) struct Recorder {
    pub(super) metrics: EngineMetrics,
    meter: Result<EnergyMeter, String>,
    /// What the meter said last, in joules.
    last: f64,
    /// Joules used while there was something to do.
    used: f64,
}

impl Recorder {
    pub(super) fn new(metrics: EngineMetrics, powercap: &Path) -> Self {
        Self {
            metrics,
            meter: EnergyMeter::at(powercap).map_err(|error| error.to_string()),
            last: 0.0,
            used: 0.0,
        }
    }

    /// Something is to do again: what was used until now is nobody's.
    pub(super) fn wake(&mut self) {
        self.energy();
    }

    /// Joules since the last time.
    fn energy(&mut self) -> Option<f64> {
        let read = self.meter.as_mut().ok()?.read();
        match read {
            Ok(now) => Some(now - std::mem::replace(&mut self.last, now)),
            Err(error) => {
                self.meter = Err(error.to_string());
                None
            }
        }
    }

    pub(super) fn finished(&self, job: &Job) {
        let mut counts = self.metrics.lock();
        let clock = job.progress().clock;
        counts.queue_time.record(clock.queue);
        if job.has_begun() {
            counts
                .time_to_first_token
                .record(clock.queue + clock.prompt);
            counts.prefill_time.record(clock.prompt);
            counts.decode_time.record(clock.decode);
        }
        let whole = clock.queue + clock.prompt + clock.decode;
        counts.end_to_end.record(whole);
        if let Some(reason) = job.continuation.finish_reason() {
            counts.finished.count(reason);
        }
    }
}

impl Worker {
    /// Notes who runs and waits, and what they hold.
    pub(super) fn record_load(&self) {
        let mut counts = self.recorder.metrics.lock();
        counts.running = self.running.len();
        counts.waiting = self.waiting.len();
        counts.cache_pages = self.cache.held();
        counts.cache_pages_remembered = self.cache.remembered();
    }

    /// Notes a step that began at `started`, and gives each job its share of the energy, by its rows.
    pub(super) fn record_step(&mut self, started: Instant) {
        let joules = self.recorder.energy();
        let rows: usize = self.running.iter().map(|job| job.rows).sum();
        if let Some(joules) = joules {
            self.recorder.used += joules;
        }
        let mut counts = self.recorder.metrics.lock();
        counts.busy += started.elapsed();
        counts.steps += u64::from(rows > 0);
        counts.energy = match &self.recorder.meter {
            Ok(_) => Energy::Joules(self.recorder.used),
            Err(reason) => Energy::NotAvailable(reason.clone()),
        };
        for job in self.running.iter_mut().filter(|job| job.rows > 0) {
            if let Some(joules) = joules {
                job.add_energy(joules * job.rows as f64 / rows as f64);
            }
            record_job(&mut counts, job);
        }
    }
}

fn record_job(counts: &mut MetricsSnapshot, job: &mut Job) {
    counts.prompt_tokens += job.step.prompt_tokens as u64;
    counts.generated_tokens += job.step.drawn as u64;
    counts.drafted_tokens += job.step.guessed.0 as u64;
    counts.accepted_tokens += job.step.guessed.1 as u64;
    if let Some(time) = job.step.since_last_token {
        let each = time / job.step.drawn.max(1) as u32;
        (0..job.step.drawn).for_each(|_| counts.time_per_output_token.record(each));
    }
}
