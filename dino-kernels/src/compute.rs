//! What every operation is given: kernels and threads.

use crate::tuning::TuningCell;
use crate::{Isa, KernelError, Kernels, ThreadPool, Tuning};

/// The kernels of one instruction set and the threads that run them; passed down, never global.
#[derive(Debug)]
pub struct Compute {
    /// The functions of the instruction set in use.
    pub kernels: &'static Kernels,
    /// The threads.
    pub pool: ThreadPool,
    tuning: TuningCell,
}

impl Compute {
    /// The set that `DINO_ISA` names or else the best one, with `threads` threads, the caller's among them;
    /// 0 threads stands for one a core that this process may use (cgroup quota and affinity counted).
    ///
    /// # Errors
    /// If `DINO_ISA` names a set that is unknown or that this machine lacks, or a thread cannot be started.
    pub fn new(threads: usize) -> Result<Self, KernelError> {
        let kernels = Kernels::for_isa(Isa::from_env()?)?;
        Ok(Self::of(kernels, ThreadPool::new(threads)?))
    }

    /// These kernels on these threads.
    pub fn of(kernels: &'static Kernels, pool: ThreadPool) -> Self {
        Self {
            kernels,
            pool,
            tuning: TuningCell::new(kernels.tuning()),
        }
    }

    /// The ways that are used where several give the same bits.
    pub fn tuning(&self) -> Tuning {
        self.tuning.get()
    }

    /// Uses these ways from now on, whatever runs at the moment; no result changes by a bit. Returns whether the kernels can
    /// work so ([`Tuning::fits`]): if not, nothing changes.
    pub fn set_tuning(&self, tuning: Tuning) -> bool {
        let fits = tuning.fits(self.kernels);
        if fits {
            self.tuning.set(tuning);
        }
        fits
    }
}
