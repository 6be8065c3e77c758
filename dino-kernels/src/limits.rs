//! What this machine can do at best: the figures that a kernel's speed is a share of.
//!
//! A gigabyte a second says little by itself. [`Limits::measure`] takes some tenths of a second, uses the instruction set
//! and the threads at hand, and so belongs into the same run as what is compared with it.

use crate::Compute;
use dino_core::storage::Arena;
use std::hint::black_box;
use std::io;
use std::time::Instant;

/// Bytes that are read: beyond the caches of most processors.
const BYTES: usize = 256 << 20;
/// Runs of which the fastest counts.
const RUNS: usize = 5;
/// Rounds of a run of arithmetic.
const ROUNDS: usize = 1 << 20;

/// What all threads do together in a second, with operands in registers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes read from memory.
    pub read: f64,
    /// Products and sums of f32, two operations for a fused one.
    pub f32: Option<f64>,
    /// Products and sums of pairs of bf16; `None` where no instruction of the set does it.
    pub bf16: Option<f64>,
    /// Products and sums of bytes.
    pub int8: Option<f64>,
}

/// A loop of the set's best instruction for one kind of number: runs so many rounds, returns a result that depends on
/// all of them.
pub(crate) type Peak = unsafe fn(rounds: usize) -> f32;

/// The loops of one instruction set, and operations in a round of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitKernels {
    /// Looks at every line of memory.
    pub(crate) read: unsafe fn(&[u8]) -> u64,
    pub(crate) f32: Option<(Peak, usize)>,
    pub(crate) bf16: Option<(Peak, usize)>,
    pub(crate) int8: Option<(Peak, usize)>,
}

impl Limits {
    /// Measures with the instruction set and all threads of `compute`.
    ///
    /// # Errors
    /// If there is no memory for a buffer larger than the caches.
    pub fn measure(compute: &Compute) -> io::Result<Self> {
        let kernels = compute.kernels.limits;
        let operations = |peak: Option<(Peak, usize)>| {
            let (peak, operations) = peak?;
            let threads = compute.pool.threads();
            let seconds = fastest(|| {
                compute.pool.run(threads, |_| {
                    // SAFETY: the table is only handed out where its instruction set was detected.
                    black_box(unsafe { peak(black_box(ROUNDS)) });
                });
            });
            Some((threads * ROUNDS * operations) as f64 / seconds)
        };
        Ok(Self {
            read: read(compute)?,
            f32: operations(kernels.f32),
            bf16: operations(kernels.bf16.filter(|_| crate::Isa::has_bf16_dot())),
            int8: operations(kernels.int8),
        })
    }
}

/// Bytes a second of reading memory that no cache holds.
fn read(compute: &Compute) -> io::Result<f64> {
    let kernels = compute.kernels.limits;
    let memory = Arena::new().fill(BYTES, |bytes| bytes.fill(1))?;
    let part = BYTES / compute.pool.threads() / 64 * 64;
    let parts: Vec<_> = memory.as_slice().chunks_exact(part).collect();
    let seconds = fastest(|| {
        compute.pool.run(parts.len(), |index| {
            // SAFETY: as above.
            black_box(unsafe { (kernels.read)(parts[index]) });
        });
    });
    Ok((parts.len() * part) as f64 / seconds)
}

fn fastest(run: impl Fn()) -> f64 {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_above_zero() {
        for kernels in crate::Kernels::under_test().unwrap() {
            let pool = crate::ThreadPool::new(2).unwrap();
            let limits = Limits::measure(&Compute::of(kernels, pool)).unwrap();
            assert!(limits.read.is_finite() && limits.read > 0.0);
            let rates = [limits.f32, limits.bf16, limits.int8];
            assert!(
                rates
                    .iter()
                    .flatten()
                    .all(|rate| rate.is_finite() && *rate > 0.0)
            );
        }
    }
}
