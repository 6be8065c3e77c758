//! Formats with blocks of 256 values, whose sub-blocks have small integer scales.

use super::{half, nibbles};
use crate::packed::{Format, SubBlock};
use dino_core::DType;
use dino_core::blocks::{self, IQ4_VALUES, SixBitPairs};

pub(crate) struct Q2K;
pub(crate) struct Q3K;
pub(crate) struct Q4K;
pub(crate) struct Q5K;
pub(crate) struct Q6K;
pub(crate) struct Iq4Xs;

/// Head: d, dmin, then 16 bytes of scale (low nibble) and minimum (high nibble).
impl Format for Q2K {
    const DTYPE: DType = DType::Q2_K;
    const CODES: std::ops::Range<usize> = 16..80;
    const HALVES: usize = 2;
    const BYTES: usize = 16;
    const SPLIT: bool = true;
    const SIGNED: bool = false;
    const OFFSET: i32 = 0;
    const MAX_CODE: i32 = 3;
    const LEN: usize = 256;

    fn head(block: &[u8], head: &mut [u8]) {
        head[..4].copy_from_slice(&block[80..84]);
        head[4..].copy_from_slice(&block[..16]);
    }

    fn decode(head: &[u8], codes: &[u8], sub: usize) -> SubBlock {
        let packed = |side: usize| head[4 + 2 * sub + side];
        SubBlock {
            codes: two_bits(codes, sub),
            scales: [0, 1].map(|side| half(head, 0) * f32::from(packed(side) & 0x0f)),
            mins: [0, 1].map(|side| -half(head, 1) * f32::from(packed(side) >> 4)),
        }
    }
}

/// Four sub-blocks share 32 bytes, two bits each.
fn two_bits(codes: &[u8], sub: usize) -> [i8; 32] {
    let bytes = &codes[sub / 4 * 32..];
    std::array::from_fn(|k| ((bytes[k] >> (2 * (sub % 4))) & 3) as i8)
}

/// Head: d, then 16 signed scales.
impl Format for Q3K {
    const DTYPE: DType = DType::Q3_K;
    const CODES: std::ops::Range<usize> = 0..96;
    const HALVES: usize = 1;
    const BYTES: usize = 16;
    const SPLIT: bool = true;
    const SIGNED: bool = false;
    const OFFSET: i32 = 4;
    const MAX_CODE: i32 = 7;
    const LEN: usize = 256;

    fn head(block: &[u8], head: &mut [u8]) {
        head[..2].copy_from_slice(&block[108..110]);
        let block: &blocks::Q3_K = bytemuck::from_bytes(block);
        for (group, byte) in head[2..].iter_mut().enumerate() {
            *byte = block.group_scale(group) as u8;
        }
    }

    fn decode(head: &[u8], codes: &[u8], sub: usize) -> SubBlock {
        let (third, low) = codes.split_at(32);
        let low = two_bits(low, sub);
        let scales = signed_scales(head, sub);
        SubBlock {
            codes: std::array::from_fn(|k| low[k] | (((third[k] >> sub) & 1) << 2) as i8),
            scales,
            mins: scales.map(|scale| -4.0 * scale),
        }
    }
}

/// d times the two signed byte scales of sub-block `sub`.
fn signed_scales(head: &[u8], sub: usize) -> [f32; 2] {
    [0, 1].map(|side| half(head, 0) * f32::from(head[2 + 2 * sub + side] as i8))
}

/// The head of Q4_K and Q5_K: d, dmin, 8 scales, 8 minimums.
fn scales_and_minimums(block: &[u8], head: &mut [u8]) {
    head[..4].copy_from_slice(&block[..4]);
    let pairs: &SixBitPairs = bytemuck::from_bytes(&block[4..16]);
    for sub in 0..8 {
        (head[4 + sub], head[12 + sub]) = pairs.get(sub);
    }
}

fn affine(head: &[u8], codes: [i8; 32], sub: usize) -> SubBlock {
    let scale = half(head, 0) * f32::from(head[4 + sub]);
    let min = -half(head, 1) * f32::from(head[12 + sub]);
    SubBlock {
        codes,
        scales: [scale; 2],
        mins: [min; 2],
    }
}

/// Two sub-blocks share 32 bytes, a nibble each.
fn paired_nibbles(codes: &[u8], sub: usize) -> [i8; 32] {
    let bytes = &codes[sub / 2 * 32..];
    std::array::from_fn(|k| ((bytes[k] >> (4 * (sub % 2))) & 0x0f) as i8)
}

impl Format for Q4K {
    const DTYPE: DType = DType::Q4_K;
    const CODES: std::ops::Range<usize> = 16..144;
    const HALVES: usize = 2;
    const BYTES: usize = 16;
    const SPLIT: bool = false;
    const SIGNED: bool = false;
    const OFFSET: i32 = 0;
    const MAX_CODE: i32 = 15;
    const LEN: usize = 256;

    fn head(block: &[u8], head: &mut [u8]) {
        scales_and_minimums(block, head);
    }

    fn decode(head: &[u8], codes: &[u8], sub: usize) -> SubBlock {
        affine(head, paired_nibbles(codes, sub), sub)
    }
}

impl Format for Q5K {
    const DTYPE: DType = DType::Q5_K;
    const CODES: std::ops::Range<usize> = 16..176;
    const HALVES: usize = 2;
    const BYTES: usize = 16;
    const SPLIT: bool = false;
    const SIGNED: bool = false;
    const OFFSET: i32 = 0;
    const MAX_CODE: i32 = 31;
    const LEN: usize = 256;

    fn head(block: &[u8], head: &mut [u8]) {
        scales_and_minimums(block, head);
    }

    fn decode(head: &[u8], codes: &[u8], sub: usize) -> SubBlock {
        let (fifth, low) = codes.split_at(32);
        let low = paired_nibbles(low, sub);
        let codes = std::array::from_fn(|k| low[k] | (((fifth[k] >> sub) & 1) << 4) as i8);
        affine(head, codes, sub)
    }
}

/// Head: d, then 16 signed scales.
impl Format for Q6K {
    const DTYPE: DType = DType::Q6_K;
    const CODES: std::ops::Range<usize> = 0..192;
    const HALVES: usize = 1;
    const BYTES: usize = 16;
    const SPLIT: bool = true;
    const SIGNED: bool = false;
    const OFFSET: i32 = 32;
    const MAX_CODE: i32 = 63;
    const LEN: usize = 256;

    fn head(block: &[u8], head: &mut [u8]) {
        head[..2].copy_from_slice(&block[208..210]);
        head[2..].copy_from_slice(&block[192..208]);
    }

    fn decode(head: &[u8], codes: &[u8], sub: usize) -> SubBlock {
        let (low, high) = codes.split_at(128);
        let (part, quarter) = (sub / 4, sub % 4);
        let low = &low[part * 64 + quarter % 2 * 32..];
        let high = &high[part * 32..];
        let scales = signed_scales(head, sub);
        SubBlock {
            codes: std::array::from_fn(|k| {
                let four = (low[k] >> (quarter / 2 * 4)) & 0x0f;
                (four | ((high[k] >> (2 * quarter)) & 3) << 4) as i8
            }),
            scales,
            mins: scales.map(|scale| -32.0 * scale),
        }
    }
}

/// Head: d, then 8 signed scales.
impl Format for Iq4Xs {
    const DTYPE: DType = DType::IQ4_XS;
    const CODES: std::ops::Range<usize> = 8..136;
    const HALVES: usize = 1;
    const BYTES: usize = 8;
    const SPLIT: bool = false;
    const SIGNED: bool = true;
    const OFFSET: i32 = 0;
    const MAX_CODE: i32 = 127;
    const LEN: usize = 256;

    fn head(block: &[u8], head: &mut [u8]) {
        head[..2].copy_from_slice(&block[..2]);
        let block: &blocks::IQ4_XS = bytemuck::from_bytes(block);
        for (group, byte) in head[2..].iter_mut().enumerate() {
            *byte = block.group_scale(group) as u8;
        }
    }

    fn decode(head: &[u8], codes: &[u8], sub: usize) -> SubBlock {
        let scale = half(head, 0) * f32::from(head[2 + sub] as i8);
        let codes = nibbles(&codes[16 * sub..]).map(|index| IQ4_VALUES[index as usize]);
        SubBlock {
            codes,
            scales: [scale; 2],
            mins: [0.0; 2],
        }
    }
}
