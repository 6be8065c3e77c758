//! How fast a generation was.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Usage;

/// How fast a generation was. Of a [`Generator`](crate::Generator), only time spent inside this crate counts. Serialized durations are seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// From the request to its first token, the time in the queue included.
    #[serde(serialize_with = "seconds")]
    pub time_to_first_token: Duration,
    /// What an [`Engine`](crate::Engine) let it wait before it began.
    #[serde(serialize_with = "seconds")]
    pub queue_time: Duration,
    /// Mean time of each token after the first.
    #[serde(serialize_with = "seconds")]
    pub time_per_output_token: Duration,
    /// Prompt tokens that were run, a second.
    pub prompt_tokens_per_second: f64,
    /// Tokens after the first, a second; 0 if there are none.
    pub decode_tokens_per_second: f64,
    /// Tokens of the prompt that were not run again.
    pub cached_tokens: usize,
    /// Tokens that were guessed ahead (see [`Speculation`](crate::Speculation)).
    pub drafted_tokens: usize,
    /// Those of them that were right.
    pub accepted_tokens: usize,
    /// Joules that an [`Engine`](crate::Engine) used for it, by its share of the tokens that ran together; where the
    /// system tells (see [`EnergyMeter`](crate::EnergyMeter)).
    pub energy: Option<f64>,
    /// The most bytes that this process has had in memory so far, where the system tells (Linux).
    pub peak_memory: Option<u64>,
    /// How long the model took to load.
    #[serde(serialize_with = "seconds")]
    pub load_time: Duration,
}

/// Time spent on a generation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// Until it began.
    pub(crate) queue: Duration,
    /// From then to the first token.
    pub(crate) prompt: Duration,
    /// After it.
    pub(crate) decode: Duration,
    /// Joules used, where that is known.
    pub(crate) energy: Option<f64>,
    /// Tokens guessed ahead, and those of them that were right.
    pub(crate) guessed: (usize, usize),
}

impl Stats {
    pub(crate) fn new(clock: Clock, usage: Usage, load_time: Duration) -> Self {
        let decoded = usage.completion_tokens.saturating_sub(1);
        let mean = clock
            .decode
            .checked_div(decoded.try_into().unwrap_or(u32::MAX));
        Self {
            time_to_first_token: clock.queue + clock.prompt,
            queue_time: clock.queue,
            time_per_output_token: mean.unwrap_or_default(),
            prompt_tokens_per_second: rate(usage.prompt_tokens - usage.cached_tokens, clock.prompt),
            decode_tokens_per_second: rate(decoded, clock.decode),
            cached_tokens: usage.cached_tokens,
            drafted_tokens: clock.guessed.0,
            accepted_tokens: clock.guessed.1,
            energy: clock.energy,
            peak_memory: peak_memory(),
            load_time,
        }
    }
}

/// What people ask first, in one line: `first token after 0.04 s; prompt 138.7 tokens/s, answer 56.1 tokens/s; …`. What
/// is not known or did not happen is left out.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "first token after {:.2} s; prompt {:.1} tokens/s, answer {:.1} tokens/s",
            self.time_to_first_token.as_secs_f64(),
            self.prompt_tokens_per_second,
            self.decode_tokens_per_second,
        )?;
        if self.cached_tokens > 0 {
            write!(f, "; {} tokens remembered", self.cached_tokens)?;
        }
        if self.drafted_tokens > 0 {
            let (right, all) = (self.accepted_tokens, self.drafted_tokens);
            write!(f, "; {right} of {all} guesses right")?;
        }
        if let Some(joules) = self.energy {
            write!(f, "; {joules:.1} J")?;
        }
        if let Some(bytes) = self.peak_memory {
            write!(f, "; at most {} MB in memory", bytes / 1_000_000)?;
        }
        Ok(())
    }
}

fn rate(tokens: usize, time: Duration) -> f64 {
    if time.is_zero() {
        return 0.0;
    }
    tokens as f64 / time.as_secs_f64()
}

/// The most bytes that this process has had in memory, where the system tells (Linux).
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_from_times_and_counts() {
        let clock = Clock {
            queue: Duration::from_millis(100),
            prompt: Duration::from_millis(500),
            decode: Duration::from_secs(2),
            ..Clock::default()
        };
        let usage = Usage {
            prompt_tokens: 120,
            completion_tokens: 41,
            cached_tokens: 20,
            ..Usage::default()
        };
        let stats = Stats::new(clock, usage, Duration::ZERO);
        assert_eq!(stats.time_to_first_token, Duration::from_millis(600));
        assert_eq!(stats.prompt_tokens_per_second, 200.0);
        assert_eq!(stats.decode_tokens_per_second, 20.0);
        assert_eq!(stats.time_per_output_token, Duration::from_millis(50));
        let none = Stats::new(Clock::default(), Usage::default(), Duration::ZERO);
        assert_eq!(
            (none.prompt_tokens_per_second, none.decode_tokens_per_second),
            (0.0, 0.0)
        );
    }

    #[test]
    fn a_line_leaves_out_what_is_not_known() {
        let mut stats = Stats {
            time_to_first_token: Duration::from_millis(40),
            prompt_tokens_per_second: 138.66,
            decode_tokens_per_second: 56.0,
            ..Stats::default()
        };
        let short = "first token after 0.04 s; prompt 138.7 tokens/s, answer 56.0 tokens/s";
        assert_eq!(stats.to_string(), short);
        stats.cached_tokens = 39;
        (stats.accepted_tokens, stats.drafted_tokens) = (3, 8);
        stats.energy = Some(1.25);
        stats.peak_memory = Some(98_500_000);
        let rest = "; 39 tokens remembered; 3 of 8 guesses right; 1.2 J; at most 98 MB in memory";
        assert_eq!(stats.to_string(), format!("{short}{rest}"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_the_peak() {
        assert!(peak_memory().unwrap() > 1 << 20);
    }
}
