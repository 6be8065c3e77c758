//! One slice, written by many chunks.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice of which the chunks of a region each take a part of their own.
///
/// What `chunks_mut` does for a loop, for parts that are not consecutive: a block of columns of every row, say.
pub struct DisjointMut<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: through a shared `DisjointMut` a thread can get a `&mut` to elements that no other holds, which is
// to send those elements to it: sound for `T: Send`.
unsafe impl<T: Send> Sync for DisjointMut<'_, T> {}
// SAFETY: it stands for a `&mut [T]`, which is `Send` for `T: Send`.
unsafe impl<T: Send> Send for DisjointMut<'_, T> {}

impl<'a, T> DisjointMut<'a, T> {
    /// Takes the slice over for as long as this lives.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// The elements in `range`.
    ///
    /// # Panics
    /// If `range` is not within the slice.
    ///
    /// # Safety
    /// No element of `range` may lie in a part that was taken elsewhere and is still in use.
    #[allow(clippy::mut_from_ref)] // that is its purpose; the contract keeps the parts apart
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "part {range:?} of a slice of {}",
            self.len
        );
        // SAFETY: the range was checked; that nobody else uses these elements is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

impl super::ThreadPool {
    /// Calls `work(index, part)` for consecutive parts of `slice` of `length` elements each, the last perhaps
    /// shorter, on any threads in any order.
    ///
    /// # Panics
    /// If `length` is 0, or as [`run`](Self::run) does.
    pub fn for_each_part<T: Send>(
        &self,
        slice: &mut [T],
        length: usize,
        work: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let (end, parts) = (slice.len(), slice.len().div_ceil(length));
        let slice = DisjointMut::new(slice);
        self.run(parts, |index| {
            let start = index * length;
            // SAFETY: each index is run once, and the ranges of two indices do not overlap.
            work(index, unsafe { slice.part(start..end.min(start + length)) });
        });
    }
}
