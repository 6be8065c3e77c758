//! How many processors the process may use, also when that changes while it runs.

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// How often the system is asked: it answers from files, in some tens of microseconds.
const INTERVAL: Duration = Duration::from_secs(1);
/// Regions after which the clock is looked at.
const REGIONS: u32 = 16;

/// The processors in the affinity mask, or what the quota of the control group is worth if that is less.
pub(super) fn processors() -> usize {
    available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Asks now and then how many processors there are.
pub(super) struct Allowance {
    /// `None` where it does not matter.
    processors: Option<fn() -> usize>,
    asked: Instant,
    /// Regions since the clock was looked at.
    regions: u32,
}

impl Allowance {
    /// Of a pool with a number of threads that somebody asked for.
    pub(super) fn fixed() -> Self {
        Self {
            processors: None,
            asked: Instant::now(),
            regions: 0,
        }
    }

    /// Of a pool that follows what `processors` says.
    pub(super) fn new(processors: fn() -> usize) -> Self {
        Self {
            processors: Some(processors),
            ..Self::fixed()
        }
    }

    /// How many there are, if it is time to ask. To be called before each region.
    pub(super) fn changed(&mut self) -> Option<usize> {
        let processors = self.processors?;
        self.regions += 1;
        if self.regions < REGIONS {
            return None;
        }
        self.regions = 0;
        if self.asked.elapsed() < INTERVAL {
            return None;
        }
        self.asked = Instant::now();
        Some(processors())
    }
}
