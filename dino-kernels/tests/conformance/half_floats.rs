//! Conversions to and from 16-bit floats of every instruction set against the crate `half`, bit by bit.

use crate::common::{LENGTHS, guarded, kernels, values};
use half::{bf16, f16};

/// Every f32 where rounding to the 16-bit value above, below or at even decides, and its neighbours.
fn edges(widen: impl Fn(u16) -> f32) -> Vec<f32> {
    let mut edges = Vec::new();
    for bits in 0..u16::MAX {
        let (low, high) = (widen(bits), widen(bits + 1));
        let middle = low / 2.0 + high / 2.0;
        edges.extend([low, middle, middle.next_up(), middle.next_down()]);
    }
    edges.extend([
        f32::MAX,
        f32::MIN,
        f32::from_bits(1),
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xffff_ffff),
    ]);
    edges
}

#[test]
fn f16_both_ways() {
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    let edges = edges(|bits| f16::from_bits(bits).to_f32());
    for kernels in kernels() {
        let found = guarded(&vec![0.0; all.len()], |out| {
            kernels.vector.widen_f16(&all, out);
        });
        for (half, found) in all.iter().zip(found) {
            let same = half.to_f32().to_bits() == found.to_bits();
            assert!(
                same || (half.is_nan() && found.is_nan()),
                "{half:?} became {found}"
            );
        }
        let mut narrow = vec![f16::ZERO; edges.len()];
        kernels.vector.narrow_f16(&edges, &mut narrow);
        for (x, found) in edges.iter().zip(narrow) {
            let same = f16::from_f32(*x).to_bits() == found.to_bits();
            assert!(
                same || (x.is_nan() && found.is_nan()),
                "{}: {x} became {found}",
                kernels.isa()
            );
        }
    }
}

#[test]
fn bf16_both_ways() {
    let all: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
    let edges = edges(|bits| bf16::from_bits(bits).to_f32());
    for kernels in kernels() {
        let found = guarded(&vec![0.0; all.len()], |out| {
            kernels.vector.widen_bf16(&all, out);
        });
        for (half, found) in all.iter().zip(found) {
            assert!(
                u32::from(half.to_bits()) << 16 == found.to_bits()
                    || half.is_nan() && found.is_nan()
            );
        }
        let mut narrow = vec![bf16::ZERO; edges.len()];
        kernels.vector.narrow_bf16(&edges, &mut narrow);
        for (x, found) in edges.iter().zip(narrow) {
            let same = bf16::from_f32(*x).to_bits() == found.to_bits();
            assert!(
                same || (x.is_nan() && found.is_nan()),
                "{}: {x} became {found}",
                kernels.isa()
            );
        }
    }
}

#[test]
fn ragged_lengths() {
    for kernels in kernels() {
        for n in LENGTHS {
            let x = values(n, 100.0, 1);
            let mut narrow = vec![f16::MAX; n + 40];
            kernels.vector.narrow_f16(&x, &mut narrow[17..17 + n]);
            assert!(
                narrow[..17]
                    .iter()
                    .chain(&narrow[17 + n..])
                    .all(|&x| x == f16::MAX)
            );
            assert!(
                x.iter()
                    .zip(&narrow[17..])
                    .all(|(&x, &half)| f16::from_f32(x) == half)
            );
            let wide = guarded(&x, |out| kernels.vector.widen_f16(&narrow[17..17 + n], out));
            assert!(
                wide.iter()
                    .zip(&narrow[17..])
                    .all(|(&x, half)| half.to_f32() == x)
            );

            let mut narrow = vec![bf16::MAX; n + 40];
            kernels.vector.narrow_bf16(&x, &mut narrow[17..17 + n]);
            assert!(
                narrow[..17]
                    .iter()
                    .chain(&narrow[17 + n..])
                    .all(|&x| x == bf16::MAX)
            );
            assert!(
                x.iter()
                    .zip(&narrow[17..])
                    .all(|(&x, &half)| bf16::from_f32(x) == half)
            );
            let wide = guarded(&x, |out| {
                kernels.vector.widen_bf16(&narrow[17..17 + n], out);
            });
            assert!(
                wide.iter()
                    .zip(&narrow[17..])
                    .all(|(&x, half)| half.to_f32() == x)
            );
        }
    }
}
