//! How long things took.

use std::time::Duration;

use serde::Serialize;

/// Upper ends of the buckets, in seconds: from a millisecond to a quarter of an hour, finer where people wait.
const BOUNDS: [f64; 22] = [
    0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1.0,
    2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
];

/// Times sorted into buckets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Histogram {
    /// One for each bound, and one for what is longer than all.
    counts: [u64; BOUNDS.len() + 1],
    count: u64,
    sum: f64,
}

impl Histogram {
    pub(in crate::engine) fn record(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.counts[BOUNDS.partition_point(|&bound| bound < seconds)] += 1;
        self.count += 1;
        self.sum += seconds;
    }

    /// How many times there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together, in seconds.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Their mean, in seconds; 0 if there are none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        self.sum / self.count as f64
    }

    /// The upper end of each bucket, in seconds, and how many times were not longer; the last end is infinity.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }))
    }

    /// The time, in seconds, that this share of all did not exceed, as near as buckets tell; 0 if there are none.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = share.clamp(0.0, 1.0) * self.count as f64;
        let (mut lower, mut below) = (0.0, 0);
        for (upper, upto) in self.cumulative() {
            if upto as f64 >= rank && upto > below {
                if upper.is_infinite() {
                    return lower;
                }
                let within = (rank - below as f64) / (upto - below) as f64;
                return lower + (upper - lower) * within.max(0.0);
            }
            (lower, below) = (upper, upto);
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_their_buckets() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(0.5), histogram.mean()), (0.0, 0.0));
        for milliseconds in [1, 2, 35, 36, 37, 38, 2_000_000] {
            histogram.record(Duration::from_millis(milliseconds));
        }
        let counts: Vec<_> = histogram.cumulative().collect();
        assert_eq!(counts[0], (0.001, 1), "a bound belongs to its bucket");
        assert_eq!(counts[1], (0.0025, 2));
        assert_eq!(counts[7], (0.04, 6));
        assert_eq!(counts[21], (900.0, 6));
        assert_eq!(counts[22], (f64::INFINITY, 7));
        assert_eq!(histogram.count(), 7);
        assert!((histogram.sum() - 2000.149).abs() < 1e-9);
    }

    #[test]
    fn quantiles_lie_in_the_bucket_of_the_true_one() {
        let mut histogram = Histogram::default();
        for milliseconds in 1..=100 {
            histogram.record(Duration::from_millis(milliseconds));
        }
        assert!((histogram.quantile(0.5) - 0.05).abs() < 1e-9);
        assert!((0.08..=0.1).contains(&histogram.quantile(0.99)));
        assert_eq!(histogram.quantile(1.0), 0.1);
    }
}
