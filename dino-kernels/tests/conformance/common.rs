//! What the conformance tests share.

use dino_kernels::Kernels;

/// Lengths around those of vectors of 4, 8 and 16 values and of four of them, and some of real models.
pub(crate) const LENGTHS: [usize; 24] = [
    0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 63, 64, 65, 100, 127, 129, 576, 1000, 1536,
    4097,
];

/// The kernels to test: of all instruction sets of this machine, among them those that `DINO_REQUIRE_ISA` names.
pub(crate) fn kernels() -> Vec<&'static Kernels> {
    Kernels::under_test().expect("DINO_REQUIRE_ISA names a set that cannot be tested here")
}

/// `count` values in `-scale..scale`, the same for the same seed (a linear congruential generator).
pub(crate) fn values(count: usize, scale: f32, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Calls `kernel` on a copy of `input` that lies unaligned among guards; the result, after the guards were
/// found untouched.
#[track_caller]
pub(crate) fn guarded(input: &[f32], kernel: impl FnOnce(&mut [f32])) -> Vec<f32> {
    const GUARD: f32 = 12345.0;
    let mut room = vec![GUARD; input.len() + 67];
    let (start, end) = (33, 33 + input.len());
    room[start..end].copy_from_slice(input);
    kernel(&mut room[start..end]);
    assert!(
        room[..start]
            .iter()
            .chain(&room[end..])
            .all(|&x| x == GUARD),
        "written out of bounds"
    );
    room[start..end].to_vec()
}

/// Asserts `|found − expected| ≤ tolerance(i)` for each i, NaN equal to NaN.
#[track_caller]
pub(crate) fn assert_close(
    what: &str,
    found: &[f32],
    expected: &[f64],
    tolerance: impl Fn(usize) -> f64,
) {
    assert_eq!(found.len(), expected.len());
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let found = f64::from(found);
        let same = found == expected || (found.is_nan() && expected.is_nan());
        let (error, allowed) = ((found - expected).abs(), tolerance(i));
        assert!(
            same || error <= allowed,
            "{what}[{i}]: {found} for {expected}, off by {error:e} > {allowed:e}"
        );
    }
}
