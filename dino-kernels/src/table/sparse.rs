//! The kernels of weights without zeros.

use super::{Kernels, QuantizedTask};
use crate::packed::SparseGroup;
use dino_core::DType;

/// Kernels of weights without zeros for one machine.
#[derive(Clone, Copy)]
pub(crate) struct SparseKernels {
    /// Writes the words of a dense group.
    pub(crate) expand: unsafe fn(Expand<'_, '_>),
    /// Runs a task of few rows without filling zeros in; `None` where there is no instruction for it.
    pub(crate) few: Option<unsafe fn(&QuantizedTask<'_>)>,
    /// The density below which that is faster than dense weights: of codes of eight bits, and of four.
    pub(crate) pays: [f64; 2],
}

/// One group that is to be filled in.
pub(crate) struct Expand<'a, 'g> {
    pub(crate) dtype: DType,
    pub(crate) group: &'a SparseGroup<'g>,
    /// Words of a dense group, padding included.
    pub(crate) words: &'a mut [u8],
}

/// Rows of input up to which zeros are skipped. For more, filling them in once costs less than skipping them again for every
/// eight rows.
pub(crate) const FEW: usize = 32;

/// Groups that are filled in at once: kernels for many rows take them in pairs.
const GROUPS: usize = 2;

impl Kernels {
    /// Whether a weight of this type is faster without its zeros, if `density` of it are none.
    pub(crate) fn sparse_pays(&self, dtype: DType, density: f64) -> bool {
        let kernels = (self.sparse)();
        let [bytes, nibbles] = kernels.pays;
        let most = match dtype {
            DType::Q8_0 => bytes,
            DType::Q4_0 => nibbles,
            _ => 0.0,
        };
        kernels.few.is_some() && density < most
    }

    /// Runs a task whose weight has no zeros and whose shapes were checked.
    pub(super) fn sparse(&self, task: &QuantizedTask<'_>) {
        let kernels = (self.sparse)();
        if let (Some(few), 0..=FEW) = (kernels.few, task.input.tokens()) {
            // SAFETY: the machine has this table's instruction set, and what else `few` needs was detected before it was
            // handed out.
            return unsafe { few(task) };
        }
        let mut start = task.groups.start;
        while start < task.groups.end {
            let groups = start..(start + GROUPS).min(task.groups.end);
            let weight = self.filled_in(task.weight, groups.clone());
            start = groups.end;
            self.quantized(&QuantizedTask {
                weight: &weight,
                groups,
                input: task.input,
                output: task.output,
                tuning: task.tuning,
            });
        }
    }

    /// Some groups of a weight without zeros as those of a dense one.
    fn filled_in(
        &self,
        weight: &crate::PackedWeight,
        groups: std::ops::Range<usize>,
    ) -> crate::PackedWeight {
        let expand = (self.sparse)().expand;
        weight.expanded(groups, |group, words| {
            let dtype = weight.dtype();
            // SAFETY: as above; the group is one of the weight, and the words are those of its layout.
            unsafe {
                expand(Expand {
                    dtype,
                    group,
                    words,
                });
            }
        })
    }
}
