//! Counts of magnitudes on a logarithmic scale.

/// Bins of an octave, a power of two.
const BINS_AN_OCTAVE: usize = 16;
/// Octaves, from 2^-32 up; what is smaller counts as zero.
const OCTAVES: usize = 64;
/// The first bin, as the bits of a float that are above those of a place within a bin.
const FIRST: usize = (127 - OCTAVES / 2) * BINS_AN_OCTAVE;
/// Bits of a place within a bin.
const WITHIN: u32 = 23 - BINS_AN_OCTAVE.ilog2();

/// How often magnitudes occurred, sixteen bins to each power of two: no range has to be known before.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    counts: Vec<u64>,
    zeros: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; Self::BINS],
            zeros: 0,
        }
    }
}

impl Histogram {
    /// How many bins there are, zeros left out.
    pub const BINS: usize = BINS_AN_OCTAVE * OCTAVES;

    /// Counts a value by its magnitude.
    pub fn add(&mut self, value: f32) {
        // Without its sign, the bits of a float are its exponent and then its fraction: its place on the scale.
        let place = (value.abs().to_bits() >> WITHIN) as usize;
        match place.checked_sub(FIRST) {
            Some(bin) => self.counts[bin.min(Self::BINS - 1)] += 1,
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

    /// The magnitude that `fraction` of the values do not exceed; right to a sixteenth of an octave. `None` of none.
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

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        let pairs = self.counts.iter_mut().zip(&other.counts);
        pairs.for_each(|(count, other)| *count += other);
    }

    /// All counts: of zeros, then of [`Histogram::BINS`] bins.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.zeros).chain(self.counts.iter().copied())
    }

    /// The histogram of these [`counts`](Self::counts); `None` if there are more or fewer.
    pub fn from_counts(counts: &[u64]) -> Option<Self> {
        let (&zeros, counts) = counts.split_first()?;
        (counts.len() == Self::BINS).then(|| Self {
            counts: counts.to_vec(),
            zeros,
        })
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

    /// The bins of magnitudes above zero that are not empty: where each begins and ends, and its count.
    pub(crate) fn intervals(&self) -> impl Iterator<Item = ([f64; 2], f64)> {
        let bins = self.counts.iter().enumerate();
        let bins = bins.filter(|(_, count)| **count > 0);
        bins.map(|(bin, &count)| {
            let begin = f32::from_bits(((FIRST + bin) as u32) << WITHIN);
            ([begin.into(), upper_end(bin).into()], count as f64)
        })
    }

    /// Magnitudes that count as zero.
    pub(crate) fn zeros(&self) -> u64 {
        self.zeros
    }
}

fn upper_end(bin: usize) -> f32 {
    f32::from_bits(((FIRST + bin + 1) as u32) << WITHIN).next_down()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_sixteenth_of_an_octave() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for i in 0..1000 {
            histogram.add(if i % 2 == 0 { i as f32 } else { -(i as f32) });
        }
        for (fraction, exact) in [(0.1, 99.0), (0.5, 499.0), (0.999, 998.0), (1.0, 999.0)] {
            let found = histogram.quantile(fraction).unwrap();
            assert!(
                (exact..exact * 1.07).contains(&found),
                "{fraction}: {found}"
            );
        }
        histogram.add(f32::INFINITY);
        histogram.add(1e-30);
        assert_eq!(histogram.len(), 1002);
        let counts: Vec<u64> = histogram.counts().collect();
        assert_eq!(Histogram::from_counts(&counts), Some(histogram.clone()));
        assert_eq!(Histogram::from_counts(&counts[1..]), None);
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!(twice.len(), 2004);
        assert_eq!(twice.quantile(0.7), histogram.quantile(0.7));
    }
}
