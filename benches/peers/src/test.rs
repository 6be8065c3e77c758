//! What is measured.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One test, in the words of llama-bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// A prompt of random tokens, from an empty cache; its last row wants logits.
    Prompt { tokens: usize },
    /// Tokens one by one in `sequences` sequences at once, each behind `depth` tokens that are there already.
    Generate {
        tokens: usize,
        sequences: usize,
        depth: usize,
    },
}

impl Test {
    /// Tokens that the time of a run is for.
    pub fn tokens(self) -> usize {
        match self {
            Self::Prompt { tokens } => tokens,
            Self::Generate {
                tokens, sequences, ..
            } => tokens * sequences,
        }
    }

    /// Positions that a sequence reaches.
    pub fn context(self) -> usize {
        match self {
            Self::Prompt { tokens } => tokens,
            Self::Generate { tokens, depth, .. } => tokens + depth,
        }
    }

    /// Sequences at once.
    pub fn sequences(self) -> usize {
        match self {
            Self::Prompt { .. } => 1,
            Self::Generate { sequences, .. } => sequences,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Prompt { tokens } => write!(formatter, "pp{tokens}"),
            Self::Generate {
                tokens,
                sequences,
                depth,
            } => {
                write!(formatter, "tg{tokens}")?;
                if sequences > 1 {
                    write!(formatter, "x{sequences}")?;
                }
                if depth > 0 {
                    write!(formatter, "@d{depth}")?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Test {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let number = |text: &str| -> anyhow::Result<usize> {
            let number = text
                .parse()
                .with_context(|| format!("{text:?} is no number"))?;
            if number == 0 {
                bail!("a number above 0 is needed");
            }
            Ok(number)
        };
        if let Some(tokens) = text.strip_prefix("pp") {
            return Ok(Self::Prompt {
                tokens: number(tokens)?,
            });
        }
        let Some(rest) = text.strip_prefix("tg") else {
            bail!("{text:?} is no test: pp512, tg128, tg64@d4096, tg64x16");
        };
        let (rest, depth) = match rest.split_once("@d") {
            Some((rest, depth)) => (rest, number(depth)?),
            None => (rest, 0),
        };
        let (tokens, sequences) = match rest.split_once('x') {
            Some((tokens, sequences)) => (tokens, number(sequences)?),
            None => (rest, 1),
        };
        Ok(Self::Generate {
            tokens: number(tokens)?,
            sequences,
            depth,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["pp512", "tg128", "tg64x16", "tg64@d4096", "tg32x4@d512"] {
            assert_eq!(name.parse::<Test>().unwrap().to_string(), name);
        }
        for wrong in ["pp", "tg0", "512", "tg64x", "tg64@4096"] {
            assert!(wrong.parse::<Test>().is_err(), "{wrong}");
        }
    }
}
