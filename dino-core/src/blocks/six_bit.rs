//! The scales of Q4_K and Q5_K.

/// Eight pairs of a scale and a minimum, 6 bits each.
///
/// Capitals are the bits of scales, small letters those of minimums; `A` is scale 0, `H` scale 7:
///
/// ```text
/// byte 0..4    EEAAAAAA FFBBBBBB GGCCCCCC HHDDDDDD
/// byte 4..8    eeaaaaaa ffbbbbbb ggcccccc hhdddddd
/// byte 8..12   eeeeEEEE ffffFFFF ggggGGGG hhhhHHHH
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SixBitPairs(pub [u8; 12]);

impl SixBitPairs {
    /// Scale and minimum of group `group`, each from 0 to 63.
    ///
    /// # Panics
    /// If `group` is not below 8.
    #[inline]
    pub fn get(&self, group: usize) -> (u8, u8) {
        let bytes = &self.0;
        if group < 4 {
            return (bytes[group] & 63, bytes[group + 4] & 63);
        }
        // The lower four bits share a byte of the third row; the upper two fill up the first rows.
        let low = bytes[group + 4];
        let (scale_high, min_high) = (bytes[group - 4] >> 6, bytes[group] >> 6);
        (low & 15 | scale_high << 4, low >> 4 | min_high << 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_found_in_the_drawing() {
        let pairs: [(u8, u8); 8] = std::array::from_fn(|j| (7 * j as u8 + 3, 63 - 5 * j as u8));
        let mut bytes = [0; 12];
        for j in 0..4 {
            let (scale, min) = pairs[j];
            let (late_scale, late_min) = pairs[j + 4];
            bytes[j] = scale | (late_scale >> 4) << 6;
            bytes[j + 4] = min | (late_min >> 4) << 6;
            bytes[j + 8] = late_scale & 15 | late_min << 4;
        }
        let packed = SixBitPairs(bytes);
        assert_eq!(std::array::from_fn(|j| packed.get(j)), pairs);
    }
}
