//! The sequences of a batch, and their states.

use crate::{Compute, DisjointMut};
use ndarray::ArrayViewMut2;
use std::ops::Range;

/// One sequence's share of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSpan {
    /// Its row of the states.
    pub state: usize,
    /// Its rows in the batch.
    pub rows: Range<usize>,
}

/// Calls `work(rows, part, state)` for every span and each of `parts` equal parts of its state.
///
/// # Panics
/// If two spans have one state, or states are not `parts` parts.
pub(super) fn for_parts(
    compute: &Compute,
    spans: &[StateSpan],
    states: ArrayViewMut2<'_, f32>,
    parts: usize,
    work: impl Fn(&Range<usize>, usize, &mut [f32]) + Sync,
) {
    let (count, size) = states.dim();
    assert!(size.is_multiple_of(parts), "a state of equal parts");
    for (index, span) in spans.iter().enumerate() {
        assert!(span.state < count, "a state for each span");
        let others = &spans[..index];
        assert!(
            others.iter().all(|other| other.state != span.state),
            "a state of its own for each span"
        );
    }
    let states = states.into_slice().expect("states in standard layout");
    let states = DisjointMut::new(states);
    compute.pool.run(spans.len() * parts, |task| {
        let (span, part) = (&spans[task / parts], task % parts);
        let start = span.state * size + part * (size / parts);
        // SAFETY: each task has a span and a part of its own, and no two spans have one state.
        let state = unsafe { states.part(start..start + size / parts) };
        work(&span.rows, part, state);
    });
}
