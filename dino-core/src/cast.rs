//! The room that looks at bytes as blocks.

use crate::blocks::Block;

/// `bytes` as blocks of one format; `None` if they are not a whole number of them.
///
/// Blocks have no alignment, so any position in a file will do.
pub fn blocks<B: Block>(bytes: &[u8]) -> Option<&[B]> {
    bytemuck::try_cast_slice(bytes).ok()
}

/// Like [`blocks`], to be written.
pub fn blocks_mut<B: Block>(bytes: &mut [u8]) -> Option<&mut [B]> {
    bytemuck::try_cast_slice_mut(bytes).ok()
}
