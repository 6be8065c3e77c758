//! The formats, each described once; the layouts are drawn in `dino_core::blocks`.

mod k_quants;
mod simple;

pub(crate) use k_quants::{Iq4Xs, Q2K, Q3K, Q4K, Q5K, Q6K};
pub(crate) use simple::{Iq4Nl, Mxfp4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};

/// The f16 number `index` of a head.
fn half(head: &[u8], index: usize) -> f32 {
    half::f16::from_le_bytes([head[2 * index], head[2 * index + 1]]).to_f32()
}

/// The codes of 32 nibbles in 16 bytes: low nibbles first, then high ones.
fn nibbles(bytes: &[u8]) -> [i8; 32] {
    std::array::from_fn(|k| {
        (if k < 16 {
            bytes[k] & 0x0f
        } else {
            bytes[k - 16] >> 4
        }) as i8
    })
}
