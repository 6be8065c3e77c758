//! How small integers share bytes.

/// The integers of `BITS` bits in `bytes`, in the order of their values.
///
/// All formats use one scheme. `bytes` come in runs of `RUN`; the lowest `BITS` bits of a run's bytes are its
/// first `RUN` values (its first *plane*), the next higher bits the next `RUN` values, and so on:
///
/// ```text
/// BITS = 4, RUN = 2     byte 0    byte 1  |  byte 2    byte 3
///                      [v2 | v0] [v3 | v1]  [v6 | v4] [v7 | v5]
/// ```
#[inline]
pub(super) fn unpack<const BITS: usize, const RUN: usize, const N: usize>(bytes: &[u8]) -> [u8; N] {
    debug_assert_eq!(bytes.len() * 8, N * BITS);
    let mut codes = [0; N];
    let runs = codes.chunks_exact_mut(RUN * 8 / BITS);
    for (codes, bytes) in runs.zip(bytes.chunks_exact(RUN)) {
        for (plane, codes) in codes.chunks_exact_mut(RUN).enumerate() {
            for (code, byte) in codes.iter_mut().zip(bytes) {
                *code = (byte >> (plane * BITS)) & ((1 << BITS) - 1);
            }
        }
    }
    codes
}

/// `codes` as they are meant, lowered by what storing them raised them by.
///
/// They have at most 6 bits and cannot wrap; a checked subtraction would keep the loop from being vectorised.
#[inline]
pub(super) fn lowered<const N: usize>(codes: [u8; N], by: i8) -> [i8; N] {
    codes.map(|code| (code as i8).wrapping_sub(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_a_run_of_values() {
        let codes: [u8; 8] = unpack::<4, 2, 8>(&[0x20, 0x31, 0x64, 0x75]);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7]);
        let bits: [u8; 8] = unpack::<1, 1, 8>(&[0b1000_0011]);
        assert_eq!(bits, [1, 1, 0, 0, 0, 0, 0, 1]);
    }
}
