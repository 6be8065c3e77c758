//! What is remembered of models with recurrent states.
//!
//! A state can be shared only as it was at one position, so prompts of such models stop at round positions, where their
//! states are copied: of a beginning that two prompts share, the second one runs at most [`INTERVAL`] tokens again. The
//! state at the end of a text is kept too; the next turn of a conversation goes on from there.

use super::job::Job;
use super::worker::Worker;

/// Positions between two copies. A copy is as large as the keys and values of some hundred tokens.
pub(super) const INTERVAL: usize = 256;

impl Worker {
    /// Lets each job's rows end where its state is to be copied.
    pub(super) fn cut_at_states(&self, rows: &mut [usize]) {
        if self.limits.states == 0 {
            return;
        }
        for (rows, job) in rows.iter_mut().zip(&self.running) {
            *rows = (*rows).min(INTERVAL - seen(job) % INTERVAL);
        }
    }

    /// Copies the states of jobs whose rows, which were just run, ended where they are to be copied.
    pub(super) fn remember_states(&mut self) {
        if self.limits.states == 0 {
            return;
        }
        for job in &self.running {
            let ends = job.rows > 0 && (seen(job) + job.rows).is_multiple_of(INTERVAL);
            if let (Some(place), true) = (job.place, ends) {
                let (variant, ids) = (job.variant(), job.continuation.ids());
                // The sequence is there: it was just run.
                let _ = self.cache.remember(place.sequence, variant, ids);
            }
        }
    }
}

/// How many of the `common` first tokens that another job shares with a running one it can have: of a running job that
/// has states, all that it has seen or nothing; and how many it could have later.
pub(super) fn shareable(running: &Job, common: usize) -> (usize, usize) {
    let seen = seen(running);
    let now = if common >= seen { seen } else { 0 };
    let later = common / INTERVAL * INTERVAL;
    (now, if later > seen { later } else { 0 })
}

fn seen(job: &Job) -> usize {
    job.place.map_or(0, |place| place.seen)
}
