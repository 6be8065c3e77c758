//! How a matrix is cut into parts that threads work on.

use crate::Compute;
use ndarray::{ArrayView2, ArrayViewMut2};

/// Values in a part: some microseconds of work for the kernels of this crate, several times what it costs to
/// run a part on another thread.
const PART: usize = 4096;

/// The values of a matrix in standard layout, and how many there are in a row.
///
/// # Panics
/// If the layout is another.
#[track_caller]
pub(super) fn values<'a>(matrix: ArrayView2<'a, f32>) -> &'a [f32] {
    matrix.to_slice().expect("a matrix in standard layout")
}

/// Calls `work(first, rows)` for parts of `matrix`, whole rows each; `first` is the row that `rows` begins with.
///
/// # Panics
/// If `matrix` is not in standard layout.
#[track_caller]
pub(super) fn for_rows(
    compute: &Compute,
    matrix: ArrayViewMut2<'_, f32>,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let columns = matrix.ncols().max(1);
    let rows_a_part = (PART / columns).max(1);
    let matrix = matrix.into_slice().expect("a matrix in standard layout");
    compute
        .pool
        .for_each_part(matrix, rows_a_part * columns, |part, rows| {
            work(part * rows_a_part, rows);
        });
}

/// Calls `work(first, values)` for parts of `matrix`, rows cut as it comes; `first` is the index of the first value.
///
/// # Panics
/// If `matrix` is not in standard layout.
#[track_caller]
pub(super) fn for_values(
    compute: &Compute,
    matrix: ArrayViewMut2<'_, f32>,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let matrix = matrix.into_slice().expect("a matrix in standard layout");
    compute
        .pool
        .for_each_part(matrix, PART, |part, values| work(part * PART, values));
}
