//! The reference of weights without zeros: they are filled in, and the rest is as for dense ones.

use crate::packed::{SparseFormat, SparseGroup, with_sparse_format};
use crate::table::{Expand, SparseKernels};

/// Filling in never pays by itself.
pub(crate) fn kernels() -> SparseKernels {
    SparseKernels {
        expand,
        few: None,
        pays: [0.0; 2],
    }
}

/// Writes the words of a dense group.
pub(crate) fn expand(task: Expand<'_, '_>) {
    let Expand {
        dtype,
        group,
        words,
    } = task;
    with_sparse_format!(dtype, F => expand_as::<F>(group, words), _ => {
        unreachable!("{dtype} is not packed without zeros")
    });
}

fn expand_as<F: SparseFormat>(group: &SparseGroup<'_>, words: &mut [u8]) {
    let size = 4 * group.lanes;
    let mut at = 0;
    for word in 0..group.columns / 4 {
        let mask = group.mask(word);
        // Of four bits: words 0 to 3 of a block are the low halves, words 4 to 7 the high ones.
        let (to, shift) = if F::NIBBLES {
            (word / 8 * 4 + word % 4, word % 8 / 4 * 4)
        } else {
            (word, 0)
        };
        let mut place = 0;
        for (bit, to) in words[to * size..][..size].iter_mut().enumerate() {
            let code = if mask >> bit & 1 == 0 {
                F::ZERO
            } else {
                let stored = group.codes[at + if F::NIBBLES { place / 2 } else { place }];
                let code = if F::NIBBLES {
                    stored >> (4 * (place % 2)) & 0x0f
                } else {
                    stored
                };
                place += 1;
                code
            };
            *to = if shift == 0 {
                code
            } else {
                *to | code << shift
            };
        }
        at += F::bytes(mask.count_ones());
    }
}
