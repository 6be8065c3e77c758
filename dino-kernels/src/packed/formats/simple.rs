//! Formats with blocks of 32 values.

use super::{half, nibbles};
use crate::packed::{Format, SubBlock};
use dino_core::DType;
use dino_core::blocks::{IQ4_VALUES, MXFP4_VALUES, e8m0_to_f32};

pub(crate) struct Q4_0;
pub(crate) struct Q4_1;
pub(crate) struct Q5_0;
pub(crate) struct Q5_1;
pub(crate) struct Q8_0;
pub(crate) struct Iq4Nl;
pub(crate) struct Mxfp4;

impl Format for Q4_0 {
    const DTYPE: DType = DType::Q4_0;
    const CODES: std::ops::Range<usize> = 2..18;
    const HALVES: usize = 1;
    const BYTES: usize = 0;
    const SPLIT: bool = false;
    const SIGNED: bool = false;
    const OFFSET: i32 = 8;
    const MAX_CODE: i32 = 15;
    const LEN: usize = 32;

    fn head(block: &[u8], head: &mut [u8]) {
        head.copy_from_slice(&block[..2]);
    }

    fn decode(head: &[u8], codes: &[u8], _: usize) -> SubBlock {
        let scale = half(head, 0);
        SubBlock {
            codes: nibbles(codes),
            scales: [scale; 2],
            mins: [-8.0 * scale; 2],
        }
    }
}

impl Format for Q4_1 {
    const DTYPE: DType = DType::Q4_1;
    const CODES: std::ops::Range<usize> = 4..20;
    const HALVES: usize = 2;
    const BYTES: usize = 0;
    const SPLIT: bool = false;
    const SIGNED: bool = false;
    const OFFSET: i32 = 0;
    const MAX_CODE: i32 = 15;
    const LEN: usize = 32;

    fn head(block: &[u8], head: &mut [u8]) {
        head.copy_from_slice(&block[..4]);
    }

    fn decode(head: &[u8], codes: &[u8], _: usize) -> SubBlock {
        SubBlock {
            codes: nibbles(codes),
            scales: [half(head, 0); 2],
            mins: [half(head, 1); 2],
        }
    }
}

/// The codes of Q5_0 and Q5_1: a word with the fifth bits of values 0…31, then the nibbles.
fn five_bits(codes: &[u8]) -> [i8; 32] {
    let (fifth, low) = codes.split_at(4);
    let low = nibbles(low);
    std::array::from_fn(|k| low[k] | (((fifth[k / 8] >> (k % 8)) & 1) << 4) as i8)
}

impl Format for Q5_0 {
    const DTYPE: DType = DType::Q5_0;
    const CODES: std::ops::Range<usize> = 2..22;
    const HALVES: usize = 1;
    const BYTES: usize = 0;
    const SPLIT: bool = false;
    const SIGNED: bool = false;
    const OFFSET: i32 = 16;
    const MAX_CODE: i32 = 31;
    const LEN: usize = 32;

    fn head(block: &[u8], head: &mut [u8]) {
        head.copy_from_slice(&block[..2]);
    }

    fn decode(head: &[u8], codes: &[u8], _: usize) -> SubBlock {
        let scale = half(head, 0);
        SubBlock {
            codes: five_bits(codes),
            scales: [scale; 2],
            mins: [-16.0 * scale; 2],
        }
    }
}

impl Format for Q5_1 {
    const DTYPE: DType = DType::Q5_1;
    const CODES: std::ops::Range<usize> = 4..24;
    const HALVES: usize = 2;
    const BYTES: usize = 0;
    const SPLIT: bool = false;
    const SIGNED: bool = false;
    const OFFSET: i32 = 0;
    const MAX_CODE: i32 = 31;
    const LEN: usize = 32;

    fn head(block: &[u8], head: &mut [u8]) {
        head.copy_from_slice(&block[..4]);
    }

    fn decode(head: &[u8], codes: &[u8], _: usize) -> SubBlock {
        SubBlock {
            codes: five_bits(codes),
            scales: [half(head, 0); 2],
            mins: [half(head, 1); 2],
        }
    }
}

impl Format for Q8_0 {
    const DTYPE: DType = DType::Q8_0;
    const CODES: std::ops::Range<usize> = 2..34;
    const HALVES: usize = 1;
    const BYTES: usize = 0;
    const SPLIT: bool = false;
    const SIGNED: bool = true;
    const OFFSET: i32 = 0;
    const MAX_CODE: i32 = 128;
    const LEN: usize = 32;

    fn head(block: &[u8], head: &mut [u8]) {
        head.copy_from_slice(&block[..2]);
    }

    fn decode(head: &[u8], codes: &[u8], _: usize) -> SubBlock {
        let codes = std::array::from_fn(|k| codes[k] as i8);
        SubBlock {
            codes,
            scales: [half(head, 0); 2],
            mins: [0.0; 2],
        }
    }
}

impl Format for Iq4Nl {
    const DTYPE: DType = DType::IQ4_NL;
    const CODES: std::ops::Range<usize> = 2..18;
    const HALVES: usize = 1;
    const BYTES: usize = 0;
    const SPLIT: bool = false;
    const SIGNED: bool = true;
    const OFFSET: i32 = 0;
    const MAX_CODE: i32 = 127;
    const LEN: usize = 32;

    fn head(block: &[u8], head: &mut [u8]) {
        head.copy_from_slice(&block[..2]);
    }

    fn decode(head: &[u8], codes: &[u8], _: usize) -> SubBlock {
        let codes = nibbles(codes).map(|index| IQ4_VALUES[index as usize]);
        SubBlock {
            codes,
            scales: [half(head, 0); 2],
            mins: [0.0; 2],
        }
    }
}

impl Format for Mxfp4 {
    const DTYPE: DType = DType::MXFP4;
    const CODES: std::ops::Range<usize> = 1..17;
    const HALVES: usize = 0;
    const BYTES: usize = 1;
    const SPLIT: bool = false;
    const SIGNED: bool = true;
    const OFFSET: i32 = 0;
    const MAX_CODE: i32 = 12;
    const LEN: usize = 32;

    fn head(block: &[u8], head: &mut [u8]) {
        head[0] = block[0];
    }

    fn decode(head: &[u8], codes: &[u8], _: usize) -> SubBlock {
        let codes = nibbles(codes).map(|index| MXFP4_VALUES[index as usize]);
        SubBlock {
            codes,
            scales: [e8m0_to_f32(head[0]); 2],
            mins: [0.0; 2],
        }
    }
}
