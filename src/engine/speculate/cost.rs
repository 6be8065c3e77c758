//! What a row more costs.

use std::time::Duration;

/// How fast old steps are forgotten.
const MEMORY: f64 = 0.97;
/// What a row more costs, of a step of one row, before anything was measured.
const GUESS: f64 = 0.2;

/// Learns from the steps of texts how their time grows with their rows: a line through both, by least squares, old steps
/// counting less.
#[derive(Debug, Default)]
pub(in crate::engine) struct StepCost {
    weight: f64,
    rows: f64,
    seconds: f64,
    rows_squared: f64,
    rows_seconds: f64,
}

impl StepCost {
    pub(in crate::engine) fn learn(&mut self, rows: usize, time: Duration) {
        let (rows, seconds) = (rows as f64, time.as_secs_f64());
        let sums = [
            (&mut self.weight, 1.0),
            (&mut self.rows, rows),
            (&mut self.seconds, seconds),
            (&mut self.rows_squared, rows * rows),
            (&mut self.rows_seconds, rows * seconds),
        ];
        for (sum, value) in sums {
            *sum = MEMORY * *sum + value;
        }
    }

    /// What a guessed token costs, where `texts` are generated together and it takes `drafting` seconds to guess it: as
    /// a part of what a token costs that is not guessed. Above 1 no guess pays.
    pub(super) fn price(&self, texts: usize, drafting: f64) -> f64 {
        let texts = texts.max(1) as f64;
        let (row, step) = self.line(texts);
        (row + drafting) * texts / step
    }

    /// Seconds of a row more, and of a step of `texts` rows.
    fn line(&self, texts: f64) -> (f64, f64) {
        let (mean_rows, mean) = (self.rows / self.weight, self.seconds / self.weight);
        let variance = self.rows_squared / self.weight - mean_rows * mean_rows;
        if self.weight < 3.0 || variance < 0.1 {
            let one = if self.weight > 0.0 {
                mean / (1.0 + GUESS * (mean_rows - 1.0))
            } else {
                1.0
            };
            return (GUESS * one, one * (1.0 + GUESS * (texts - 1.0)));
        }
        let slope = (self.rows_seconds / self.weight - mean_rows * mean) / variance;
        let slope = slope.max(0.0);
        let step = mean + slope * (texts - mean_rows);
        (slope, step.max(f64::MIN_POSITIVE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_follows_from_measured_steps() {
        let mut cost = StepCost::default();
        assert!((cost.price(1, 0.0) - 0.2).abs() < 1e-9, "a guess before");
        for step in 0..50 {
            let rows = 1 + step % 4;
            cost.learn(rows, Duration::from_micros(9000 + 1000 * rows as u64));
        }
        assert!((cost.price(1, 0.0) - 0.1).abs() < 1e-6);
        assert!((cost.price(1, 0.004) - 0.5).abs() < 1e-6, "drafting costs");
        // Beside 11 texts a row costs what a token costs on average, nearly.
        assert!((cost.price(11, 0.0) - 0.55).abs() < 1e-6);
    }
}
