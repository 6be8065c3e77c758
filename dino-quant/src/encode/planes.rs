//! How small integers share bytes, the writing side.

/// Puts integers of `BITS` bits into bytes, in runs of `RUN` bytes whose lowest bits are the first `RUN` values: the
/// inverse of what `dino_core::blocks` reads.
#[inline]
pub(super) fn pack<const BITS: usize, const RUN: usize, const N: usize>(codes: &[u8]) -> [u8; N] {
    debug_assert_eq!(codes.len() * BITS, N * 8);
    let mut bytes = [0; N];
    let runs = codes.chunks_exact(RUN * 8 / BITS);
    for (codes, bytes) in runs.zip(bytes.chunks_exact_mut(RUN)) {
        for (plane, codes) in codes.chunks_exact(RUN).enumerate() {
            for (code, byte) in codes.iter().zip(&mut *bytes) {
                *byte |= (code & ((1 << BITS) - 1)) << (plane * BITS);
            }
        }
    }
    bytes
}

/// Bits `from` and above of each code.
#[inline]
pub(super) fn upper<const N: usize>(codes: &[u8; N], from: usize) -> [u8; N] {
    codes.map(|code| code >> from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_a_run_of_values() {
        let bytes: [u8; 4] = pack::<4, 2, 4>(&[0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(bytes, [0x20, 0x31, 0x64, 0x75]);
        let bits: [u8; 1] = pack::<1, 1, 1>(&[1, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bits, [0b1000_0011]);
    }
}
