//! What the tests need of an engine.

use crate::test::Test;
use anyhow::Result;
use std::time::{Duration, Instant};

/// An engine with a model in it.
pub trait Engine {
    /// Forgets all sequences.
    fn clear(&mut self) -> Result<()>;

    /// Runs `tokens` behind what `sequences` hold, the same tokens for each, and computes the logits of each one's last.
    fn prompt(&mut self, sequences: usize, tokens: &[u32]) -> Result<()>;

    /// Runs one more token of each sequence and computes its logits; gives the likeliest next token of the first.
    fn step(&mut self, tokens: &[u32]) -> Result<u32>;

    /// Tokens in the vocabulary.
    fn vocabulary(&self) -> usize;

    /// Says what the engine is, its version included.
    fn describe(&self) -> String;
}

/// Runs a test and gives its time, without what prepares it.
pub fn measure(engine: &mut dyn Engine, test: Test) -> Result<Duration> {
    let mut random = Random {
        state: 1,
        vocabulary: engine.vocabulary() as u64,
    };
    engine.clear()?;
    match test {
        Test::Prompt { tokens } => {
            let tokens = random.tokens(tokens);
            let started = Instant::now();
            engine.prompt(1, &tokens)?;
            Ok(started.elapsed())
        }
        Test::Generate {
            tokens,
            sequences,
            depth,
        } => {
            // A token at least, so that every sequence is there.
            engine.prompt(sequences, &random.tokens(depth.max(1)))?;
            let steps = random.tokens(tokens * sequences);
            let started = Instant::now();
            for step in steps.chunks_exact(sequences) {
                engine.step(step)?;
            }
            Ok(started.elapsed())
        }
    }
}

/// Random tokens, the same for every engine: a linear congruential generator (Knuth, MMIX).
struct Random {
    state: u64,
    vocabulary: u64,
}

impl Random {
    fn tokens(&mut self, count: usize) -> Vec<u32> {
        let next = || {
            self.state = self
                .state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((self.state >> 32) % self.vocabulary) as u32
        };
        std::iter::repeat_with(next).take(count).collect()
    }
}
