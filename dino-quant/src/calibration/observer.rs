//! Which range of an input is worth its codes, where one scale has to do for all values.

use super::{Histogram, InputStats};
use std::str::FromStr;

/// How the range of a static activation scale is chosen from what calibration saw. What lies outside is cut off.
///
/// All but the first find the magnitude at which values are cut off; a range never reaches beyond the values that were seen.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Observer {
    /// All that was seen: nothing is cut off, and one outlier makes the steps of all values coarse.
    MinMax,
    /// What this fraction of the magnitudes does not exceed, e.g. 0.9999.
    Percentile(f64),
    /// The range whose codes have the distribution nearest to that of the values, by Kullback–Leibler divergence (Migacz,
    /// "8-bit inference with TensorRT", 2017).
    Entropy,
    /// The range that loses least of the values' squares.
    Mse,
}

/// Why a text names no observer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no observer: minmax, percentile, percentile:99.9, entropy and mse are")]
pub struct ObserverError(String);

impl FromStr for Observer {
    type Err = ObserverError;

    /// `minmax`, `percentile` (99.99 %), `percentile:99.9`, `entropy` or `mse`.
    fn from_str(text: &str) -> Result<Self, ObserverError> {
        let wrong = || ObserverError(text.into());
        Ok(match text.split_once(':') {
            None => match text {
                "minmax" => Self::MinMax,
                "percentile" => Self::Percentile(0.9999),
                "entropy" => Self::Entropy,
                "mse" => Self::Mse,
                _ => return Err(wrong()),
            },
            Some(("percentile", percent)) => {
                let percent: f64 = percent.parse().map_err(|_| wrong())?;
                if !(percent > 0.0 && percent <= 100.0) {
                    return Err(wrong());
                }
                Self::Percentile(percent / 100.0)
            }
            Some(_) => return Err(wrong()),
        })
    }
}

impl Observer {
    /// The range that is worth `codes` codes, 0 within it; `None` if nothing was seen, or no histogram of it kept.
    pub fn range(self, stats: &InputStats, codes: u32) -> Option<[f32; 2]> {
        let [least, greatest] = stats.limits;
        if !(greatest > least && least.is_finite() && greatest.is_finite()) {
            return None;
        }
        if self == Self::MinMax {
            return Some(stats.limits);
        }
        let seen = Seen {
            histogram: stats.histogram.as_ref()?,
            limits: stats.limits,
            steps: f64::from(codes.saturating_sub(1).max(1)),
        };
        let cut = match self {
            Self::MinMax => greatest.max(-least),
            Self::Percentile(fraction) => seen.histogram.quantile(fraction)?,
            Self::Entropy => seen.by_entropy(),
            Self::Mse => seen.by_error(),
        };
        let range = [least.max(-cut), greatest.min(cut)];
        (range[1] > range[0]).then_some(range)
    }
}

/// What a range is chosen from.
struct Seen<'a> {
    histogram: &'a Histogram,
    limits: [f32; 2],
    /// Steps from one end of a range to the other.
    steps: f64,
}

impl Seen<'_> {
    fn greatest(&self) -> f32 {
        self.limits[1].max(-self.limits[0])
    }

    /// The value of a step if magnitudes are cut off at `cut`.
    fn step(&self, cut: f64) -> f64 {
        let [least, greatest] = self.limits.map(f64::from);
        (greatest.min(cut) - least.max(-cut)) / self.steps
    }

    /// The cut that loses least squares. Within the range a value loses the square of a step by 12 on average, but no more
    /// than its own square; outside of it, its distance.
    fn by_error(&self) -> f32 {
        let loss = |cut: f64| {
            let step = self.step(cut);
            let losses = self.histogram.intervals().map(|([begin, end], count)| {
                let value = 0.5 * (begin + end.min(self.greatest().into()));
                count
                    * if value > cut {
                        (value - cut).powi(2)
                    } else if value < 0.5 * step {
                        value * value
                    } else {
                        step * step / 12.0
                    }
            });
            losses.sum::<f64>()
        };
        // Eighty cuts, each 5 % below the one before: down to a sixtieth of the greatest value.
        let cuts = (0..80).map(|n| f64::from(self.greatest()) * 0.95_f64.powi(n));
        let best = cuts.min_by(|a, b| loss(*a).total_cmp(&loss(*b)));
        best.map_or(self.greatest(), |cut| cut as f32)
    }

    /// The cut whose codes keep most of the distribution: magnitudes in equal bins, of which the first so many are kept, what
    /// is cut off in the last of them, beside the same after those were merged to as many as there are levels.
    fn by_entropy(&self) -> f32 {
        const BINS: usize = 2048;
        let levels = (self.steps / 2.0).ceil() as usize;
        let bins = self.equal_bins(BINS);
        let mut best = (f64::INFINITY, BINS);
        for kept in (levels..=BINS).step_by(16) {
            let divergence = divergence(&bins, kept, levels);
            if divergence < best.0 {
                best = (divergence, kept);
            }
        }
        self.greatest() * best.1 as f32 / BINS as f32
    }

    /// The counts in bins of equal width, those of a logarithmic one spread over the bins that it covers.
    fn equal_bins(&self, count: usize) -> Vec<f64> {
        let mut bins = vec![0.0; count];
        let greatest = f64::from(self.greatest());
        let width = greatest / count as f64;
        bins[0] = self.histogram.zeros() as f64;
        for ([begin, end], values) in self.histogram.intervals() {
            let end = end.min(greatest).max(begin);
            let (first, last) = (begin / width, end / width);
            let density = values / (last - first).max(1e-9);
            let last_bin = (last as usize).min(count - 1);
            for (bin, to) in bins[..=last_bin]
                .iter_mut()
                .enumerate()
                .skip((first as usize).min(last_bin))
            {
                let inside = last.min(bin as f64 + 1.0) - first.max(bin as f64);
                *to += density * inside.max(0.0);
            }
            // An interval without width is in one bin.
            if last - first < 1e-9 {
                bins[last_bin] += values;
            }
        }
        bins
    }
}

/// The divergence of the first `kept` bins, merged to `levels`, from those bins with all that lies behind in the last one.
fn divergence(bins: &[f64], kept: usize, levels: usize) -> f64 {
    let all: f64 = bins.iter().sum();
    let behind: f64 = bins[kept..].iter().sum();
    let inside = all - behind;
    if inside <= 0.0 || inside.is_nan() {
        return f64::INFINITY;
    }
    let mut total = 0.0;
    for level in 0..levels {
        let range = level * kept / levels..(level + 1) * kept / levels;
        let level_bins = &bins[range.clone()];
        let filled = level_bins.iter().filter(|count| **count > 0.0).count();
        let mean = level_bins.iter().sum::<f64>() / filled.max(1) as f64;
        for (bin, &count) in range.zip(level_bins) {
            let p = count + if bin + 1 == kept { behind } else { 0.0 };
            if p > 0.0 {
                // A bin that is filled by what is cut off alone has nothing to be compared with.
                let q = if count > 0.0 { mean / inside } else { 1e-9 };
                total += p / all * (p / all / q).ln();
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::Collector;
    use dino_core::{Observe, WeightPlace};
    use ndarray::ArrayView2;

    /// What is seen of values.
    fn seen(values: &[f32]) -> InputStats {
        let collector = Collector::new().with_histograms();
        let place = WeightPlace {
            name: "a",
            matrix: 0,
            matrices: 1,
        };
        let rows = ArrayView2::from_shape((1, values.len()), values).unwrap();
        collector.linear_input(place, rows);
        collector.calibration().inputs.remove("a").unwrap()
    }

    /// Sums of twelve uniform numbers, near a normal distribution, some of them 30 times as large.
    fn with_outliers(count: usize, outliers: usize) -> Vec<f32> {
        let mut state = 1_u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        let normal = |_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0;
        let mut values: Vec<f32> = (0..count).map(normal).collect();
        values[..outliers].iter_mut().for_each(|x| *x *= 30.0);
        values
    }

    /// What rounding the values to codes of that range loses.
    fn loss(values: &[f32], [least, greatest]: [f32; 2]) -> f64 {
        let step = (greatest - least) / 254.0;
        let lost = values.iter().map(|x| {
            let kept = (x / step).round() * step;
            f64::from(x - kept.clamp(least, greatest)).powi(2)
        });
        lost.sum()
    }

    #[test]
    fn names_are_read() {
        assert_eq!("percentile:99.5".parse(), Ok(Observer::Percentile(0.995)));
        assert_eq!("entropy".parse(), Ok(Observer::Entropy));
        for wrong in [
            "",
            "max",
            "percentile:",
            "percentile:0",
            "percentile:101",
            "mse:1",
        ] {
            assert!(wrong.parse::<Observer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn min_max_cuts_nothing_and_a_percentile_its_part() {
        let values: Vec<f32> = (-200..=1000).map(|i| i as f32 / 100.0).collect();
        let stats = seen(&values);
        assert_eq!(Observer::MinMax.range(&stats, 255), Some([-2.0, 10.0]));
        let [least, greatest] = Observer::Percentile(0.9).range(&stats, 255).unwrap();
        // A tenth of 1201 values lies above 8.8; the range ends within a sixteenth of an octave of it.
        assert_eq!(least, -2.0);
        assert!((8.8..8.8 * 1.07).contains(&greatest), "{greatest}");
        assert_eq!(Observer::Mse.range(&seen(&[0.0; 9]), 255), None);
    }

    /// Nearly as little as the best of a thousand ranges that are tried on the values themselves.
    #[test]
    fn mse_loses_nearly_the_least() {
        for (count, outliers) in [(20_000, 0), (20_000, 4), (20_000, 400)] {
            let values = with_outliers(count, outliers);
            let stats = seen(&values);
            let [least, greatest] = stats.limits;
            let tried = (1..=1000).map(|n| n as f32 / 1000.0 * greatest.max(-least));
            let ranges = tried.map(|cut| [least.max(-cut), greatest.min(cut)]);
            let best = ranges
                .map(|range| loss(&values, range))
                .fold(f64::INFINITY, f64::min);
            let found = loss(&values, Observer::Mse.range(&stats, 255).unwrap());
            assert!(found < 1.1 * best, "{outliers}: {found} for {best}");
        }
    }

    /// Few outliers are cut off, many are kept, and of none nearly nothing is cut.
    #[test]
    fn entropy_cuts_what_is_rare() {
        let cut = |outliers| {
            let stats = seen(&with_outliers(50_000, outliers));
            Observer::Entropy.range(&stats, 255).unwrap()[1]
        };
        assert!((2.0..8.0).contains(&cut(3)), "{}", cut(3));
        assert!(cut(0) > 2.5, "{}", cut(0));
    }
}
