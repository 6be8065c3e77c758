//! Counts of magnitudes on a logarithmic scale.

/// Bins of an octave.
const BINS_AN_OCTAVE: usize = 8;
/// Octaves, from 2^-64 up.
const OCTAVES: usize = 128;

/// How often magnitudes occurred, eight bins to each power of two: no range has to be known before.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    counts: Vec<u64>,
    zeros: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BINS_AN_OCTAVE * OCTAVES],
            zeros: 0,
        }
    }
}

impl Histogram {
    /// Counts a value by its magnitude.
    pub fn add(&mut self, value: f32) {
        // Without its sign, the bits of a float are its exponent and then its fraction: its place on the scale.
        let place = (value.abs().to_bits() >> 20) as usize;
        let first = (127 - OCTAVES / 2) * BINS_AN_OCTAVE;
        match place.checked_sub(first) {
            Some(bin) => self.counts[bin.min(BINS_AN_OCTAVE * OCTAVES - 1)] += 1,
            None => self.zeros += 1,
        }
    }

    /// Values that were counted.
    pub fn len(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Whether none was counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The magnitude that `fraction` of the values do not exceed; right to an eighth of an octave. `None` of none.
    ///
    /// # Panics
    /// If `fraction` is not between 0 and 1.
    pub fn quantile(&self, fraction: f64) -> Option<f32> {
        assert!((0.0..=1.0).contains(&fraction), "a fraction of {fraction}");
        let wanted = (fraction * self.len() as f64).ceil().max(1.0) as u64;
        let mut seen = self.zeros;
        if self.is_empty() {
            return None;
        }
        if seen >= wanted {
            return Some(0.0);
        }
        for (bin, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(upper_end(bin));
            }
        }
        None
    }

    /// The bins that are not empty, each with the greatest magnitude that falls into it.
    pub fn bins(&self) -> impl Iterator<Item = (f32, u64)> {
        let zeros = (self.zeros > 0).then_some((0.0, self.zeros));
        let bins = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        zeros
            .into_iter()
            .chain(bins.map(|(bin, &count)| (upper_end(bin), count)))
    }
}

fn upper_end(bin: usize) -> f32 {
    let first = (127 - OCTAVES / 2) * BINS_AN_OCTAVE;
    f32::from_bits(((first + bin + 1) as u32) << 20).next_down()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_an_eighth_of_an_octave() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for i in 0..1000 {
            histogram.add(if i % 2 == 0 { i as f32 } else { -(i as f32) });
        }
        for (fraction, exact) in [(0.1, 100.0), (0.5, 500.0), (0.999, 998.0), (1.0, 999.0)] {
            let found = histogram.quantile(fraction).unwrap();
            assert!(
                (exact..exact * 1.13).contains(&found),
                "{fraction}: {found}"
            );
        }
        histogram.add(f32::INFINITY);
        histogram.add(1e-30);
        assert_eq!(histogram.len(), 1002);
    }
}
