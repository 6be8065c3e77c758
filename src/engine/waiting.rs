//! Jobs that wait.

use std::collections::BTreeMap;

use super::job::{Job, Rank};

/// Jobs that wait to run, the best rank first. A preempted job keeps its rank, so it is among the next.
#[derive(Default)]
pub(super) struct Waiting(BTreeMap<Rank, Job>);

impl Waiting {
    pub(super) fn push(&mut self, job: Job) {
        self.0.insert(job.rank, job);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.0.values()
    }

    pub(super) fn take(&mut self, rank: Rank) -> Option<Job> {
        self.0.remove(&rank)
    }

    /// Takes out the jobs that end before they ran.
    pub(super) fn take_interrupted(&mut self) -> Vec<Job> {
        let interrupted = self
            .0
            .extract_if(.., |_, job| job.is_interrupted())
            .map(|(_, job)| job);
        interrupted.collect()
    }

    /// Takes all of them.
    pub(super) fn take_all(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.0).into_values().collect()
    }
}
