//! What every operation is given: kernels and threads.

use crate::{Isa, KernelError, Kernels, ThreadPool};

/// The kernels of one instruction set and the threads that run them; passed down, never global.
#[derive(Debug)]
pub struct Compute {
    /// The functions of the instruction set in use.
    pub kernels: &'static Kernels,
    /// The threads.
    pub pool: ThreadPool,
}

impl Compute {
    /// The set that `DINO_ISA` names or else the best one, with `threads` threads, the caller's among them;
    /// 0 threads stands for one a core that this process may use (cgroup quota and affinity counted).
    ///
    /// # Errors
    /// If `DINO_ISA` names a set that is unknown or that this machine lacks, or a thread cannot be started.
    pub fn new(threads: usize) -> Result<Self, KernelError> {
        Ok(Self {
            kernels: Kernels::for_isa(Isa::from_env()?)?,
            pool: ThreadPool::new(threads)?,
        })
    }
}
