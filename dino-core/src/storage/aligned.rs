//! Owned bytes on cache-line boundaries.

use bytemuck::{Pod, Zeroable};
use std::io;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

#[allow(unsafe_code)]
// SAFETY: 64 plain bytes without padding; all bit patterns are valid.
unsafe impl Zeroable for Line {}
#[allow(unsafe_code)]
// SAFETY: as above; `repr(C)`, `Copy`, no references.
unsafe impl Pod for Line {}

/// Bytes of a fixed number, the first of which lies on a 64-byte boundary.
#[derive(Clone, Debug)]
pub struct AlignedBytes {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBytes {
    /// `len` bytes of zero. The system hands them out untouched: memory is taken when they are written.
    pub fn zeroed(len: usize) -> Self {
        let lines = bytemuck::allocation::zeroed_vec(len.div_ceil(64));
        Self { lines, len }
    }

    /// The same, for a size that there may be no memory for.
    ///
    /// # Errors
    /// [`io::ErrorKind::OutOfMemory`] then.
    pub fn try_zeroed(len: usize) -> io::Result<Self> {
        let lines = bytemuck::allocation::try_zeroed_vec(len.div_ceil(64))
            .map_err(|()| io::ErrorKind::OutOfMemory)?;
        Ok(Self { lines, len })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// The bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }

    /// Where the first of them lies.
    #[cfg(not(any(unix, windows)))]
    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_cache_line_and_keeps_its_length() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let mut bytes = AlignedBytes::zeroed(len);
            assert_eq!(bytes.as_slice().len(), len);
            assert!(len == 0 || bytes.as_slice().as_ptr().addr().is_multiple_of(64));
            bytes.as_mut_slice().fill(7);
            assert!(bytes.as_slice().iter().all(|&b| b == 7));
        }
    }
}
