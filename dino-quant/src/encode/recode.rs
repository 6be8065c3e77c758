//! Other codes under the scales that a block has.

use super::Encode;
use super::planes::{pack, upper};
use super::search::{Iq4, Levels, Run};
use dino_core::blocks::{
    IQ4_NL, IQ4_VALUES, IQ4_XS, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Quantized,
};

/// A format whose codes can be chosen one by one after its scales.
pub(crate) trait Recode<const N: usize>:
    Encode<N> + Quantized<Codes = [i8; N]> + Copy + Send + Sync
{
    /// The code nearest to `x`, as [`Quantized::codes`] gives it.
    fn nearest(x: f32) -> f32;

    /// Replaces the codes, each one that [`Recode::nearest`] gives; scales stay.
    fn set_codes(&mut self, codes: &[i8; N]);
}

/// `codes` as they are stored, raised to be no less than 0.
fn raised<const N: usize>(codes: &[i8; N], by: i8) -> [u8; N] {
    codes.map(|code| (code + by) as u8)
}

/// The places of values in the codebook.
fn indices<const N: usize>(codes: &[i8; N]) -> [u8; N] {
    codes.map(|code| IQ4_VALUES.partition_point(|&other| other < code) as u8)
}

macro_rules! recode {
    ($($format:ty, $len:literal, $levels:ty, |$block:ident, $codes:ident| $set:block)*) => {$(
        impl Recode<$len> for $format {
            #[inline]
            fn nearest(x: f32) -> f32 {
                <$levels>::nearest(x)
            }

            fn set_codes(&mut self, $codes: &[i8; $len]) {
                let $block = self;
                $set
            }
        }
    )*};
}

recode! {
    Q4_0, 32, Run<-8, 7>, |block, codes| { block.codes = pack::<4, 16, 16>(&raised(codes, 8)); }
    Q4_1, 32, Run<0, 15>, |block, codes| { block.codes = pack::<4, 16, 16>(&raised(codes, 0)); }
    Q5_0, 32, Run<-16, 15>, |block, codes| {
        let codes = raised(codes, 16);
        block.high = pack::<1, 1, 4>(&upper(&codes, 4));
        block.low = pack::<4, 16, 16>(&codes);
    }
    Q5_1, 32, Run<0, 31>, |block, codes| {
        let codes = raised(codes, 0);
        block.high = pack::<1, 1, 4>(&upper(&codes, 4));
        block.low = pack::<4, 16, 16>(&codes);
    }
    IQ4_NL, 32, Iq4, |block, codes| { block.indices = pack::<4, 16, 16>(&indices(codes)); }
    IQ4_XS, 256, Iq4, |block, codes| { block.indices = pack::<4, 16, 128>(&indices(codes)); }
    Q2_K, 256, Run<0, 3>, |block, codes| { block.codes = pack::<2, 32, 64>(&raised(codes, 0)); }
    Q3_K, 256, Run<-4, 3>, |block, codes| {
        let codes = raised(codes, 4);
        block.high = pack::<1, 32, 32>(&upper(&codes, 2));
        block.low = pack::<2, 32, 64>(&codes);
    }
    Q4_K, 256, Run<0, 15>, |block, codes| { block.codes = pack::<4, 32, 128>(&raised(codes, 0)); }
    Q5_K, 256, Run<0, 31>, |block, codes| {
        let codes = raised(codes, 0);
        block.high = pack::<1, 32, 32>(&upper(&codes, 4));
        block.low = pack::<4, 32, 128>(&codes);
    }
    Q6_K, 256, Run<-32, 31>, |block, codes| {
        let codes = raised(codes, 32);
        block.low = pack::<4, 64, 128>(&codes);
        block.high = pack::<2, 32, 64>(&upper(&codes, 4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes_are_kept<B: Recode<N>, const N: usize>() {
        let values: [f32; N] = std::array::from_fn(|i| ((i * i + 3 * i) % 97) as f32 / 30.0 - 1.2);
        let block = B::encode(&values, Some(&[1.0; N]));
        let mut other = B::encode(&values.map(|x| -0.3 * x), Some(&[1.0; N]));
        let wanted = block.codes();
        other.set_codes(&wanted);
        assert_eq!(other.codes(), wanted, "{}", B::DTYPE);
        for code in wanted {
            assert_eq!(
                B::nearest(f32::from(code) + 0.1),
                f32::from(code),
                "{}",
                B::DTYPE
            );
        }
        assert!(wanted.iter().any(|code| *code != wanted[0]));
    }

    #[test]
    fn codes_that_are_set_are_read() {
        codes_are_kept::<Q4_0, 32>();
        codes_are_kept::<Q4_1, 32>();
        codes_are_kept::<Q5_0, 32>();
        codes_are_kept::<Q5_1, 32>();
        codes_are_kept::<IQ4_NL, 32>();
        codes_are_kept::<IQ4_XS, 256>();
        codes_are_kept::<Q2_K, 256>();
        codes_are_kept::<Q3_K, 256>();
        codes_are_kept::<Q4_K, 256>();
        codes_are_kept::<Q5_K, 256>();
        codes_are_kept::<Q6_K, 256>();
    }
}
