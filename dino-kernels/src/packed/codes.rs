//! Each format's codes, scales and minimums in registers: the vector form of [`Format::decode`].
//!
//! Loops here, not `array::map` and closures: a closure has no instruction set of its own, and where the compiler does
//! not inline it, every operation on a register becomes a call. It cost some formats nine tenths of their speed.

use super::{Format, Register};
use super::{Iq4Nl, Iq4Xs, Mxfp4, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use dino_core::blocks::{IQ4_VALUES, MXFP4_VALUES};

/// A format as kernels read it, on registers of any width.
///
/// # Safety
/// Of all methods: the instruction set of `R` is enabled where the caller runs; `words` and `head` point to those of
/// one block of `R::LANES` rows, and `sub` is below [`Format::SUBS`].
pub(crate) trait Codes: Format {
    /// The eight words of sub-block `sub`.
    unsafe fn codes<R: Register>(words: *const u8, sub: usize) -> [R; 8];

    /// The scales of both halves of sub-block `sub`.
    unsafe fn scales<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2];

    /// The minimums of both halves, offsets included; zero for signed formats.
    #[inline(always)]
    unsafe fn mins<R: Register>(_head: *const u8, _sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { [R::float(0.0); 2] }
    }
}

/// Word `index` of a block.
#[inline(always)]
unsafe fn word<R: Register>(words: *const u8, index: usize) -> R {
    // SAFETY: the caller's block has this word.
    unsafe { R::load(words.add(4 * R::LANES * index)) }
}

/// Plane `index` of f16 numbers of a head.
#[inline(always)]
unsafe fn halves<R: Register>(head: *const u8, index: usize) -> R::Floats {
    // SAFETY: the caller's head has this plane.
    unsafe { R::halves(head.add(2 * R::LANES * index)) }
}

/// Where plane `index` of the bytes of a head begins, after `halves` planes of f16.
#[inline(always)]
unsafe fn plane<R: Register>(head: *const u8, halves: usize, index: usize) -> *const u8 {
    // SAFETY: the caller's head has this plane.
    unsafe { head.add(R::LANES * (2 * halves + index)) }
}

/// Eight words of nibbles, low ones first, from the four words at `first`.
#[inline(always)]
unsafe fn nibbles<R: Register>(words: *const u8, first: usize) -> [R; 8] {
    // SAFETY: the caller's block has these words.
    unsafe {
        let mask = R::splat(0x0f0f_0f0f);
        let mut codes = [mask; 8];
        for g in 0..4 {
            let both: R = word(words, first + g);
            codes[g] = both.and(mask);
            codes[g + 4] = both.down(4).and(mask);
        }
        codes
    }
}

/// Eight words of `(word >> shift) & mask` from the eight words at `first`; `mask` is that of a byte.
#[inline(always)]
unsafe fn fields<R: Register>(words: *const u8, first: usize, shift: usize, mask: u8) -> [R; 8] {
    // SAFETY: the caller's block has these words.
    unsafe {
        let mask = R::splat(u32::from_ne_bytes([mask; 4]));
        let mut codes = [mask; 8];
        for (j, code) in codes.iter_mut().enumerate() {
            *code = word::<R>(words, first + j).down(shift).and(mask);
        }
        codes
    }
}

/// `low | high << by`, word by word.
#[inline(always)]
unsafe fn join<R: Register>(mut low: [R; 8], high: [R; 8], by: usize) -> [R; 8] {
    // SAFETY: the caller's instruction set is that of `R`.
    unsafe {
        for (low, high) in low.iter_mut().zip(high) {
            *low = low.or(high.up(by));
        }
        low
    }
}

/// Nibbles as indices into `table`.
#[inline(always)]
unsafe fn look_up<R: Register>(words: *const u8, first: usize, table: &[i8; 16]) -> [R; 8] {
    // SAFETY: the caller's block has these words; nibbles are below 16.
    unsafe {
        let mut codes = nibbles::<R>(words, first);
        for code in &mut codes {
            *code = code.look_up(table);
        }
        codes
    }
}

/// Nibbles joined with the fifth bits, of which word 0 holds all 32 of a row.
#[inline(always)]
unsafe fn five_bits<R: Register>(words: *const u8) -> [R; 8] {
    // SAFETY: the caller's block has these words.
    unsafe {
        let fifths: R = word(words, 0);
        let mut codes: [R; 8] = nibbles(words, 1);
        for (g, code) in codes.iter_mut().enumerate() {
            // Values 4g…4g+3 have their bits in one half of byte g / 2.
            let masks = if g % 2 == 0 { 0x0804_0201 } else { 0x8040_2010 };
            let fifth = fifths.spread(g / 2).has(R::splat(masks));
            *code = code.or(fifth.and(R::splat(0x1010_1010)));
        }
        codes
    }
}

/// Minimums of a format that subtracts `offset` from its codes.
#[inline(always)]
unsafe fn below<R: Register>(scales: [R::Floats; 2], offset: f32) -> [R::Floats; 2] {
    // SAFETY: the caller's instruction set is that of `R`.
    unsafe {
        let offset = R::float(-offset);
        [R::times(scales[0], offset), R::times(scales[1], offset)]
    }
}

/// d times the signed byte scales `indices`.
#[inline(always)]
unsafe fn signed_scales<R: Register>(head: *const u8, indices: [usize; 2]) -> [R::Floats; 2] {
    // SAFETY: the caller's head has these planes.
    unsafe {
        let scale = halves::<R>(head, 0);
        let [first, second] = indices;
        [
            R::times(scale, R::signed(plane::<R>(head, 1, first))),
            R::times(scale, R::signed(plane::<R>(head, 1, second))),
        ]
    }
}

/// One of the two f16 numbers of a head times the bytes `indices`, shifted and masked.
#[inline(always)]
unsafe fn unsigned_scales<R: Register>(
    scale: R::Floats,
    head: *const u8,
    indices: [usize; 2],
    (shift, mask): (u32, u32),
) -> [R::Floats; 2] {
    // SAFETY: the caller's head has these planes.
    unsafe {
        let [first, second] = indices;
        [
            R::times(scale, R::unsigned(plane::<R>(head, 2, first), shift, mask)),
            R::times(scale, R::unsigned(plane::<R>(head, 2, second), shift, mask)),
        ]
    }
}

/// Minus the second f16 number of a head.
#[inline(always)]
unsafe fn minus_second<R: Register>(head: *const u8) -> R::Floats {
    // SAFETY: the caller's head has this plane.
    unsafe { R::times(halves::<R>(head, 1), R::float(-1.0)) }
}

impl Codes for Q4_0 {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, _: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe { nibbles(words, 0) }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, _: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { [halves::<R>(head, 0); 2] }
    }

    #[inline(always)]
    unsafe fn mins<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { below::<R>(Self::scales::<R>(head, sub), 8.0) }
    }
}

impl Codes for Q4_1 {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, _: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe { nibbles(words, 0) }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, _: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { [halves::<R>(head, 0); 2] }
    }

    #[inline(always)]
    unsafe fn mins<R: Register>(head: *const u8, _: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { [halves::<R>(head, 1); 2] }
    }
}

impl Codes for Q5_0 {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, _: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe { five_bits(words) }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, _: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { [halves::<R>(head, 0); 2] }
    }

    #[inline(always)]
    unsafe fn mins<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { below::<R>(Self::scales::<R>(head, sub), 16.0) }
    }
}

impl Codes for Q5_1 {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, _: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe { five_bits(words) }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, _: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { [halves::<R>(head, 0); 2] }
    }

    #[inline(always)]
    unsafe fn mins<R: Register>(head: *const u8, _: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { [halves::<R>(head, 1); 2] }
    }
}

impl Codes for Q8_0 {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, _: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe {
            let mut codes = [R::splat(0); 8];
            for (g, code) in codes.iter_mut().enumerate() {
                *code = word(words, g);
            }
            codes
        }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, _: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { [halves::<R>(head, 0); 2] }
    }
}

impl Codes for Iq4Nl {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, _: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe { look_up(words, 0, &IQ4_VALUES) }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, _: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { [halves::<R>(head, 0); 2] }
    }
}

impl Codes for Mxfp4 {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, _: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe { look_up(words, 0, &MXFP4_VALUES) }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, _: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { [R::half_powers(head); 2] }
    }
}

impl Codes for Q2K {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, sub: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe { fields(words, sub / 4 * 8, 2 * (sub % 4), 3) }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe {
            unsigned_scales::<R>(
                halves::<R>(head, 0),
                head,
                [2 * sub, 2 * sub + 1],
                (0, 0x0f),
            )
        }
    }

    #[inline(always)]
    unsafe fn mins<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe {
            unsigned_scales::<R>(
                minus_second::<R>(head),
                head,
                [2 * sub, 2 * sub + 1],
                (4, 0x0f),
            )
        }
    }
}

impl Codes for Q3K {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, sub: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe {
            join(
                fields(words, 8 + sub / 4 * 8, 2 * (sub % 4), 3),
                fields(words, 0, sub, 1),
                2,
            )
        }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { signed_scales::<R>(head, [2 * sub, 2 * sub + 1]) }
    }

    #[inline(always)]
    unsafe fn mins<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { below::<R>(Self::scales::<R>(head, sub), 4.0) }
    }
}

impl Codes for Q4K {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, sub: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe { fields(words, sub / 2 * 8, 4 * (sub % 2), 0x0f) }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { unsigned_scales::<R>(halves::<R>(head, 0), head, [sub; 2], (0, 0xff)) }
    }

    #[inline(always)]
    unsafe fn mins<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { unsigned_scales::<R>(minus_second::<R>(head), head, [8 + sub; 2], (0, 0xff)) }
    }
}

impl Codes for Q5K {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, sub: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe {
            join(
                fields(words, 8 + sub / 2 * 8, 4 * (sub % 2), 0x0f),
                fields(words, 0, sub, 1),
                4,
            )
        }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { unsigned_scales::<R>(halves::<R>(head, 0), head, [sub; 2], (0, 0xff)) }
    }

    #[inline(always)]
    unsafe fn mins<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { unsigned_scales::<R>(minus_second::<R>(head), head, [8 + sub; 2], (0, 0xff)) }
    }
}

impl Codes for Q6K {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, sub: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe {
            let (part, quarter) = (sub / 4, sub % 4);
            let low = fields(words, part * 16 + quarter % 2 * 8, quarter / 2 * 4, 0x0f);
            join(low, fields(words, 32 + part * 8, 2 * quarter, 3), 4)
        }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { signed_scales::<R>(head, [2 * sub, 2 * sub + 1]) }
    }

    #[inline(always)]
    unsafe fn mins<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { below::<R>(Self::scales::<R>(head, sub), 32.0) }
    }
}

impl Codes for Iq4Xs {
    #[inline(always)]
    unsafe fn codes<R: Register>(words: *const u8, sub: usize) -> [R; 8] {
        // SAFETY: by the contract.
        unsafe { look_up(words, 4 * sub, &IQ4_VALUES) }
    }

    #[inline(always)]
    unsafe fn scales<R: Register>(head: *const u8, sub: usize) -> [R::Floats; 2] {
        // SAFETY: by the contract.
        unsafe { signed_scales::<R>(head, [sub; 2]) }
    }
}
