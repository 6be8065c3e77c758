//! Who may begin to run.

use dino_kernels::PAGE;

use super::job::{Job, Place, Rank};
use super::states;
use super::worker::Worker;

/// Fewer tokens than this are run anew rather than shared: the page that they lie in would have to be copied.
const WORTH_SHARING: usize = 8;

/// Where the first tokens of a job are already.
#[derive(Clone, Copy)]
enum Source {
    /// Nowhere, or too few of them.
    Nowhere,
    /// With the running job of this index, which has run so many.
    Running(usize, usize),
    /// In what the cache remembers.
    Remembered,
}

impl Worker {
    /// Lets waiting jobs run while there is room, in the order of their ranks. One of higher priority takes the place
    /// of one of lower.
    pub(super) fn admit(&mut self) {
        while let Some((rank, source)) = self.next() {
            let last = self.running.last().map(|job| job.rank);
            let outranks = last.is_none_or(|last| rank.0 < last.0);
            if self.running.len() == self.limits.sequences {
                if !outranks {
                    return;
                }
                // It may have been the one to share with: look again.
                self.preempt(self.running.len() - 1);
                continue;
            }
            let Some(job) = self.waiting.take(rank) else {
                return;
            };
            let place = self.place(&job, source);
            if !outranks && !self.has_pages(&job, place) {
                self.cache.remove(place.sequence);
                self.waiting.push(job);
                return;
            }
            self.start(job, place);
        }
    }

    /// The first that waits, except for those whose prompt somebody else is about to run: these wait to share it.
    fn next(&self) -> Option<(Rank, Source)> {
        let mut jobs = self.waiting.jobs();
        jobs.find_map(|job| Some((job.rank, self.source(job)?)))
    }

    /// What `job` can share now; `None` if a running prompt will soon be worth sharing.
    fn source(&self, job: &Job) -> Option<Source> {
        let ids = shareable(job);
        let remembered = self.cache.recallable(job.variant(), ids);
        let mut best = (remembered, Source::Remembered);
        let mut soon = 0;
        for (index, running) in self.running.iter().enumerate() {
            let Some(place) = running.place else {
                continue;
            };
            if running.variant() != job.variant() {
                continue;
            }
            let pairs = ids.iter().zip(running.continuation.ids());
            let common = pairs.take_while(|(one, other)| one == other).count();
            let (now, later) = match self.model.config().can_rewind() {
                true => (common.min(place.seen), common),
                false => states::shareable(running, common),
            };
            if now > best.0 {
                best = (now, Source::Running(index, now));
            }
            soon = soon.max(later);
        }
        if soon >= best.0 + PAGE {
            return None;
        }
        let (most, source) = best;
        Some(if most < WORTH_SHARING {
            Source::Nowhere
        } else {
            source
        })
    }

    /// Whether there are pages for the tokens that the job has to run, and one to go on.
    fn has_pages(&self, job: &Job, place: Place) -> bool {
        let tokens = job.continuation.ids().len() - place.seen;
        tokens.div_ceil(PAGE) < self.cache.available()
    }

    /// A sequence that begins with what is shared.
    fn place(&mut self, job: &Job, source: Source) -> Place {
        let forked = match source {
            Source::Nowhere => None,
            Source::Remembered => {
                let (sequence, seen) = self.cache.recall(job.variant(), shareable(job));
                return Place { sequence, seen };
            }
            Source::Running(index, tokens) => self.fork(index, tokens),
        };
        forked.unwrap_or_else(|| Place {
            sequence: self.cache.add(),
            seen: 0,
        })
    }

    fn fork(&mut self, index: usize, tokens: usize) -> Option<Place> {
        let from = self.running.get(index)?.place?;
        let sequence = self.cache.fork(from.sequence).ok()?;
        // A model with a state that cannot be rewound keeps less, or nothing.
        let seen = self.cache.truncate(sequence, tokens).ok()?;
        Some(Place { sequence, seen })
    }
}

/// The last token is always run: its logits are wanted.
fn shareable(job: &Job) -> &[u32] {
    let ids = job.continuation.ids();
    &ids[..ids.len() - 1]
}
