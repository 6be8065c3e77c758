//! Who may begin to run.

use dino_kernels::PAGE;

use super::job::{Job, Place, Rank};
use super::worker::Worker;

/// Fewer tokens than this are run anew rather than shared: the page that they lie in would have to be copied.
const WORTH_SHARING: usize = 8;

/// Tokens that another job has run, or will.
#[derive(Clone, Copy, Default)]
struct Shared {
    /// The job, among the running ones.
    from: usize,
    /// Tokens that it has run already.
    now: usize,
}

impl Worker {
    /// Lets waiting jobs run while there is room, in the order of their ranks.
    pub(super) fn admit(&mut self) {
        while let Some((rank, shared)) = self.next() {
            if !self.has_room(rank) {
                return;
            }
            let Some(job) = self.waiting.take(rank) else {
                return;
            };
            let place = self.place(shared);
            self.start(job, place);
        }
    }

    /// The first that waits, except for those whose prompt somebody else is about to run: these wait to share it.
    fn next(&self) -> Option<(Rank, Shared)> {
        let mut jobs = self.waiting.jobs();
        jobs.find_map(|job| Some((job.rank, self.shared(job)?)))
    }

    /// What `job` can share now; `None` if a running prompt will soon be worth sharing.
    fn shared(&self, job: &Job) -> Option<Shared> {
        let ids = job.continuation.ids();
        // The last token is always run: its logits are wanted.
        let ids = &ids[..ids.len() - 1];
        let (mut best, mut soon) = (Shared::default(), 0);
        for (from, running) in self.running.iter().enumerate() {
            let Some(place) = running.place else {
                continue;
            };
            let pairs = ids.iter().zip(running.continuation.ids());
            let common = pairs.take_while(|(one, other)| one == other).count();
            let now = common.min(place.seen);
            if now > best.now {
                best = Shared { from, now };
            }
            soon = soon.max(common);
        }
        let waits = soon >= best.now + PAGE;
        (!waits).then_some(best)
    }

    /// Whether a job of this rank may run: among so many sequences, and with pages for its tokens. A job of higher
    /// priority takes the place of one of lower.
    fn has_room(&mut self, rank: Rank) -> bool {
        let Some(last) = self.running.last() else {
            return true;
        };
        let outranks = rank.0 < last.rank.0;
        if self.running.len() < self.limits.sequences {
            return outranks || self.pages_for(rank) <= self.cache.available();
        }
        if outranks {
            self.preempt(self.running.len() - 1);
        }
        outranks
    }

    /// Pages that a waiting job takes at first, and one to go on.
    fn pages_for(&self, rank: Rank) -> usize {
        let mut jobs = self.waiting.jobs();
        let job = jobs.find(|job| job.rank == rank);
        job.map_or(0, |job| job.unseen().len().div_ceil(PAGE) + 1)
    }

    /// A sequence that begins with what is shared.
    fn place(&mut self, shared: Shared) -> Place {
        if let Some(sequence) = self.fork(shared) {
            // A model with a state that cannot be rewound keeps less, or nothing.
            let seen = self.cache.len(sequence).unwrap_or(0);
            return Place { sequence, seen };
        }
        Place {
            sequence: self.cache.add(),
            seen: 0,
        }
    }

    fn fork(&mut self, shared: Shared) -> Option<dino_models::SequenceId> {
        if shared.now < WORTH_SHARING {
            return None;
        }
        let from = self.running.get(shared.from)?.place?;
        let sequence = self.cache.fork(from.sequence).ok()?;
        self.cache.truncate(sequence, shared.now).ok()?;
        Some(sequence)
    }
}
