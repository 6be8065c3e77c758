//! One step of the running jobs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use dino_models::{ModelError, Scratch, Wanted};

use super::EngineError;
use super::job::{Job, message};
use super::plan;
use super::worker::{Worker, new_cache};
use crate::Error;

impl Worker {
    /// Makes the batch of this step, in pages that are there; false if there is nothing to run.
    pub(super) fn compose(&mut self) -> bool {
        let unseen: Vec<usize> = self.running.iter().map(|job| job.unseen().len()).collect();
        let mut rows = plan::share(&unseen, self.limits.batch_tokens);
        self.cut_at_states(&mut rows);
        let mut spare = self
            .limits
            .batch_tokens
            .saturating_sub(rows.iter().sum::<usize>());
        self.batch.clear();
        let mut index = 0;
        while index < self.running.len() {
            self.guess(index, spare);
            spare -= self.running[index].guess.len();
            if !self.reserve(index, rows[index] + self.running[index].guess.len()) {
                continue;
            }
            self.put(index, rows[index]);
            index += 1;
        }
        // If the job that most rows are for ends, so does the pass, and the others run theirs again without it. Were it any
        // job, those that end could keep the others from getting on.
        if let Some(job) = self.running.iter().max_by_key(|job| job.rows)
            && 2 * job.rows > self.batch.tokens().len()
        {
            self.batch.cancel_by(job.continuation.cancel_token().flag());
        }
        !self.batch.tokens().is_empty()
    }

    /// Lets a text guess ahead where it pays and pages are there.
    fn guess(&mut self, index: usize, spare: usize) {
        let texts = self.running.len();
        let job = &mut self.running[index];
        job.guess_ahead(spare, (&self.cost, texts));
        if let (Some(place), false) = (job.place, job.guess.is_empty()) {
            let rows = 1 + job.guess.len();
            if self.cache.reserve(place.sequence, rows).is_err() {
                job.guess.clear();
            }
        }
    }

    /// Puts a job's next `rows` tokens, and what it guesses behind them, into the batch.
    fn put(&mut self, index: usize, rows: usize) {
        let job = &mut self.running[index];
        job.rows = rows + job.guess.len();
        let Some(place) = job.place else {
            return;
        };
        if !job.guess.is_empty() {
            let tokens = [job.unseen(), &job.guess].concat();
            let adapter = job.continuation.adapter();
            self.batch
                .push_adapted(place.sequence, &tokens, Wanted::All, adapter);
            return;
        }
        let wanted = if rows == job.unseen().len() {
            Wanted::Last
        } else {
            Wanted::Nothing
        };
        self.batch.push_adapted(
            place.sequence,
            &job.unseen()[..rows],
            wanted,
            job.continuation.adapter(),
        );
    }

    /// Makes sure of pages for a job's rows. Where there are none left, the job of the last rank gives up its own, which
    /// may be this one: then there is another job at this index, or none. The first job always gets on.
    fn reserve(&mut self, index: usize, rows: usize) -> bool {
        loop {
            let Some(place) = self.running[index].place else {
                return true;
            };
            let Err(error) = self.cache.reserve(place.sequence, rows) else {
                return true;
            };
            let last = self.running.len() - 1;
            if last == 0 {
                // Nobody is left to give way. Prompts that cannot fit are refused before, so this is not to be expected.
                let mut job = self.running.remove(0);
                self.cache.remove(place.sequence);
                job.fail(error.into());
                return false;
            }
            self.preempt(last);
            if last == index {
                return false;
            }
        }
    }

    /// Runs the batch and draws the tokens that come of it.
    pub(super) fn forward(&mut self) {
        let started = Instant::now();
        let (model, cache, scratch) = (&self.model, &mut self.cache, &mut self.scratch);
        let pass = AssertUnwindSafe(|| {
            model
                .language_model()
                .forward(model.compute(), &self.batch, cache, scratch)
        });
        let passed = catch_unwind(pass);
        // Steps without a prompt show what a row costs.
        if self.batch.wanted().len() == self.batch.tokens().len() {
            self.cost
                .learn(self.batch.tokens().len(), started.elapsed());
        }
        match passed {
            Ok(Ok(())) => {
                self.remember_states();
                self.draw();
            }
            // Its largest job is let go of next.
            Ok(Err(ModelError::Cancelled)) => {}
            Ok(Err(error)) => {
                // One error has one owner: the others are told what it said.
                let message = error.to_string();
                let mut first = Some(Error::from(error));
                self.fail_batch(|| {
                    first.take().unwrap_or_else(|| {
                        let message = message.clone();
                        EngineError::StepFailed { message }.into()
                    })
                });
            }
            Err(thrown) => {
                let message = message(&*thrown);
                self.fail_batch(|| {
                    let message = message.clone();
                    EngineError::ModelPanicked { message }.into()
                });
                self.start_afresh();
            }
        }
    }

    fn fail_batch(&mut self, mut error: impl FnMut() -> Error) {
        for job in self.running.iter_mut().filter(|job| job.rows > 0) {
            job.fail(error());
        }
    }

    /// Nobody knows what a panic has left in the cache: all begin again.
    fn start_afresh(&mut self) {
        let (ended, others): (Vec<_>, Vec<_>) = self.running.drain(..).partition(Job::has_ended);
        drop(ended);
        for mut job in others {
            job.place = None;
            self.waiting.push(job);
        }
        self.cache = new_cache(&self.model, self.limits);
        self.scratch = Scratch::new();
    }

    /// Draws the next tokens of each job that has run all it had, on all threads.
    fn draw(&mut self) {
        let mut logits = self.scratch.rows_mut();
        let mut drawing = Vec::with_capacity(self.batch.wanted().len());
        for job in self.running.iter_mut().filter(|job| job.rows > 0) {
            job.advance();
            job.report_prompt();
            if job.has_run_all() {
                let rows: Vec<_> = logits.by_ref().take(1 + job.guess.len()).collect();
                if !job.has_ended() {
                    drawing.push(Mutex::new((job, rows)));
                }
            }
        }
        let draw = |task: usize| {
            let mut task = drawing[task].lock().unwrap_or_else(PoisonError::into_inner);
            let (job, rows) = &mut *task;
            job.draw(rows);
        };
        self.model.compute().pool.run(drawing.len(), draw);
        drop(drawing);
        for job in self.running.iter_mut().filter(|job| job.rows > 0) {
            let stayed = job.continuation.take_stayed();
            let Some(place) = job.place.as_mut() else {
                continue;
            };
            if let Some(stayed) = stayed {
                place.seen = place.seen.min(stayed);
            } else if job.guess.is_empty() {
                continue;
            }
            // What was guessed wrong or dropped is forgotten. The sequence is there: it was just run.
            if let Ok(kept) = self.cache.truncate(place.sequence, place.seen) {
                place.seen = kept;
            }
        }
    }
}
