//! The room that declares the formats to be plain bytes, which lets any position of a file be read as blocks.
#![allow(unsafe_code)]

use super::{
    BF16, Block, F16, F32, IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K,
    Q6_K, Q8_0, SixBitPairs,
};
use bytemuck::{Pod, Zeroable};

macro_rules! plain_bytes {
    ($($name:ident),+) => {$(
        const _: () = assert!(align_of::<$name>() == 1);
        // SAFETY: every field is an integer of one byte, an array of those, or a type of this list, so any
        // bit pattern is a value, zero included.
        unsafe impl Zeroable for $name {}
        // SAFETY: as above; and `repr(C)` with an alignment of 1, asserted here, leaves no padding.
        unsafe impl Pod for $name {}
    )+};
}

macro_rules! sized_as_its_type {
    ($($name:ident),+) => {$(
        const _: () = assert!(size_of::<$name>() == <$name as Block>::DTYPE.block_bytes());
    )+};
}

plain_bytes!(
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
    SixBitPairs
);
sized_as_its_type!(
    F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS,
    MXFP4
);
