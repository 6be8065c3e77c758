//! How small integers share bytes, the writing side.

/// Puts the lower nibbles of 32 codes into 16 bytes: byte `i` holds code `i` (low) and code `16 + i` (high).
pub(super) fn nibbles(codes: [u8; 32]) -> [u8; 16] {
    std::array::from_fn(|i| codes[i] & 15 | codes[16 + i] << 4)
}

/// Bit 4 of 32 codes, the one of code `i` in bit `i`, little-endian.
pub(super) fn fifth_bits(codes: [u8; 32]) -> [u8; 4] {
    let bits = (0..32).fold(0, |bits, i| bits | u32::from(codes[i] >> 4 & 1) << i);
    bits.to_le_bytes()
}
