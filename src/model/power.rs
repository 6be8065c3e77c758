//! How eagerly a model uses the machine.

use dino_kernels::Waiting;

use super::Threads;

/// How eagerly a model uses the machine (see [`ModelBuilder::power`](crate::ModelBuilder::power)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Power {
    /// As fast as it can: a thread for each processor, and threads that wait for the next piece of work awake.
    #[default]
    High,
    /// With little energy, heat and disturbance of others: half of the cores, at least one, and threads that sleep
    /// whenever there is nothing for them. Reading weights from memory bounds generation on most machines, and half of the
    /// cores can read nearly as much as all. The text is the same.
    Low,
}

impl Power {
    /// Threads where nobody asked for a number.
    pub(super) fn threads(self, asked: Threads) -> Threads {
        match (self, asked) {
            (Self::Low, Threads::Auto) => Threads::N((Threads::Physical.count() / 2).max(1)),
            (_, asked) => asked,
        }
    }

    pub(super) fn waiting(self) -> Waiting {
        match self {
            Self::High => Waiting::Spinning,
            Self::Low => Waiting::Sleeping,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_power_takes_half_of_the_cores_unless_a_number_was_asked_for() {
        let cores = Threads::Physical.count();
        let low = Power::Low.threads(Threads::Auto).count();
        assert!(
            low >= 1 && (cores == 0 || low <= cores.div_ceil(2)),
            "{low} of {cores}"
        );
        assert_eq!(Power::Low.threads(Threads::N(3)), Threads::N(3));
        assert_eq!(Power::High.threads(Threads::Auto), Threads::Auto);
        assert_eq!(Power::Low.waiting(), Waiting::Sleeping);
    }
}
