//! Choices that depend on the machine: which of several ways, all of which give the same bits, is the fastest.
//!
//! A kernel reads them from its task; a [`Compute`](crate::Compute) holds them. Each instruction set brings what was good where
//! it was written ([`Kernels::tuning`](crate::Kernels::tuning)); [`Tuning::measure`] finds what is good here.

mod measure;

use crate::Kernels;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Choices among ways that give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Multiplications that are worth a task of their own: more make fewer and larger tasks.
    pub task_work: usize,
    /// For sets that unpack weights once for many rows of input.
    pub panels: Option<Panels>,
}

/// How many rows of input meet quantized weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panels {
    /// Rows from which unpacking a panel of codes once, beside the rows, is faster than unpacking them for every few rows.
    pub from: usize,
    /// The same of types whose codes take longer to unpack: those of blocks of 256.
    pub from_blocks: usize,
    /// Bytes of a panel, for sets that cut it to fit into the first-level cache beside rows and sums.
    pub bytes: usize,
}

impl Tuning {
    /// Multiplications a task where nothing was measured: a microsecond or two of work.
    pub(crate) const TASK_WORK: usize = 1 << 15;

    /// What sets without panels begin with.
    pub(crate) const PLAIN: Self = Self {
        task_work: Self::TASK_WORK,
        panels: None,
    };

    /// Whether kernels of this set can work so: what is read from a file may hold anything.
    pub fn fits(&self, kernels: &Kernels) -> bool {
        let within = |panels: &Panels| {
            let rows = 2..=4096;
            rows.contains(&panels.from)
                && rows.contains(&panels.from_blocks)
                && (1 << 12..=1 << 22).contains(&panels.bytes)
        };
        (1 << 8..=1 << 24).contains(&self.task_work)
            && self.panels.is_some() == kernels.tuning().panels.is_some()
            && self.panels.as_ref().is_none_or(within)
    }
}

impl Panels {
    /// From how many rows on weights are unpacked once, of a type with so many sub-blocks a block.
    pub(crate) fn from(&self, sub_blocks: usize) -> usize {
        if sub_blocks > 1 {
            self.from_blocks
        } else {
            self.from
        }
    }
}

/// A tuning that changes while others read it: any mixture of two is one.
#[derive(Debug)]
pub(crate) struct TuningCell {
    task_work: AtomicUsize,
    panels: Option<[AtomicUsize; 3]>,
}

impl TuningCell {
    pub(crate) fn new(tuning: Tuning) -> Self {
        let panels =
            |panels: Panels| [panels.from, panels.from_blocks, panels.bytes].map(AtomicUsize::new);
        Self {
            task_work: AtomicUsize::new(tuning.task_work),
            panels: tuning.panels.map(panels),
        }
    }

    pub(crate) fn get(&self) -> Tuning {
        let panels = |[from, from_blocks, bytes]: &[AtomicUsize; 3]| Panels {
            from: from.load(Relaxed),
            from_blocks: from_blocks.load(Relaxed),
            bytes: bytes.load(Relaxed),
        };
        Tuning {
            task_work: self.task_work.load(Relaxed),
            panels: self.panels.as_ref().map(panels),
        }
    }

    /// Changes it to a tuning for the same kernels.
    pub(crate) fn set(&self, tuning: Tuning) {
        self.task_work.store(tuning.task_work, Relaxed);
        if let (Some(cells), Some(panels)) = (&self.panels, tuning.panels) {
            cells[0].store(panels.from, Relaxed);
            cells[1].store(panels.from_blocks, Relaxed);
            cells[2].store(panels.bytes, Relaxed);
        }
    }
}

/// The name of this machine's processor, with what tells it from others of the same name: tunings of one are not for another.
pub fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    return crate::x86::processor();
    #[cfg(not(target_arch = "x86_64"))]
    return listed_processor(std::path::Path::new("/proc/cpuinfo"));
}

/// What a Linux system lists of the first processor; the architecture where it lists nothing.
#[cfg(not(target_arch = "x86_64"))]
fn listed_processor(list: &std::path::Path) -> String {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let told = ["CPU implementer", "CPU variant", "CPU part", "CPU revision"];
    let values = told.iter().filter_map(|name| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim())
    });
    std::iter::once(std::env::consts::ARCH)
        .chain(values)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_fits_itself_and_nonsense_fits_none() {
        for kernels in Kernels::under_test().unwrap() {
            let good = kernels.tuning();
            assert!(good.fits(kernels), "{:?}", kernels.isa());
            for task_work in [0, usize::MAX] {
                assert!(!Tuning { task_work, ..good }.fits(kernels));
            }
            let panels = Panels {
                from: 64,
                from_blocks: 0,
                bytes: 1 << 15,
            };
            let panels = Some(panels);
            assert!(!Tuning { panels, ..good }.fits(kernels));
        }
    }

    #[test]
    fn the_processor_has_a_name() {
        assert!(!processor().is_empty());
        assert_eq!(processor(), processor());
    }
}
