//! What a user asks to be pruned.

use crate::plan::TensorFacts;
use regex_automata::meta::Regex;
use std::fmt;
use std::str::FromStr;

/// What is to go, as `--prune` takes it.
///
/// ```
/// use dino_quant::prune::{Criterion, Prune, Sparsity};
///
/// let Prune::Weights(half) = "wanda:0.5".parse()? else { unreachable!() };
/// assert_eq!((half.criterion, half.sparsity), (Criterion::Wanda, Sparsity::Fraction(0.5)));
/// let Prune::Weights(pattern) = "magnitude:2:4".parse()? else { unreachable!() };
/// assert_eq!(pattern.sparsity, Sparsity::Pattern { kept: 2, of: 4 });
/// assert!(matches!("layers:2".parse()?, Prune::Layers(2)));
/// # Ok::<(), dino_quant::prune::PruneError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Prune {
    /// Single weights, which become zero: `wanda:0.5`, `magnitude:2:4`.
    Weights(Pruning),
    /// So many layers, those that change the residual stream least (Men et al., arXiv:2403.03853): `layers:2`.
    Layers(usize),
    /// This fraction of the channels of each feed-forward part: `ffn:0.25`.
    FeedForward(f64),
    /// This fraction of the key/value heads of each layer, with the query heads that read them: `heads:0.34`.
    Heads(f64),
}

/// How single weights are chosen.
#[derive(Clone, Debug)]
pub struct Pruning {
    /// How a weight is judged.
    pub criterion: Criterion,
    /// How many go.
    pub sparsity: Sparsity,
    tensors: Option<Regex>,
}

/// How a weight is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// By its magnitude.
    Magnitude,
    /// By its magnitude times the root mean square of its input (Sun et al., arXiv:2306.11695).
    Wanda,
}

/// How many weights go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sparsity {
    /// This fraction of each row.
    Fraction(f64),
    /// All but `kept` in each run of `of` (Mishra et al., arXiv:2104.08378).
    Pattern {
        /// Weights that stay.
        kept: usize,
        /// Weights of a run.
        of: usize,
    },
}

/// Why nothing can be pruned so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// A text that asks for nothing known.
    #[error(
        "`{0}`: expected wanda:0.5, magnitude:0.5, wanda:2:4, layers:2, ffn:0.25 or heads:0.34"
    )]
    Unknown(String),
    /// A number that leaves nothing, or takes nothing.
    #[error("`{0}`: {1}")]
    Number(String, &'static str),
    /// What is no regular expression.
    #[error("`{pattern}` is no regular expression: {message}")]
    Pattern {
        /// The text.
        pattern: String,
        /// Why.
        message: String,
    },
}

impl FromStr for Prune {
    type Err = PruneError;

    fn from_str(text: &str) -> Result<Self, PruneError> {
        let unknown = || PruneError::Unknown(text.into());
        let (what, amount) = text.split_once(':').ok_or_else(unknown)?;
        match what {
            "wanda" | "magnitude" => Ok(Self::Weights(Pruning {
                criterion: if what == "wanda" {
                    Criterion::Wanda
                } else {
                    Criterion::Magnitude
                },
                sparsity: sparsity(text, amount)?,
                tensors: None,
            })),
            "layers" => match amount.parse() {
                Ok(0) => Err(PruneError::Number(
                    text.into(),
                    "at least one layer must go",
                )),
                Ok(count) => Ok(Self::Layers(count)),
                Err(_) => Err(unknown()),
            },
            "ffn" => fraction(text, amount).map(Self::FeedForward),
            "heads" => fraction(text, amount).map(Self::Heads),
            _ => Err(unknown()),
        }
    }
}

fn fraction(text: &str, amount: &str) -> Result<f64, PruneError> {
    let value: f64 = amount
        .parse()
        .map_err(|_| PruneError::Unknown(text.into()))?;
    if value > 0.0 && value < 1.0 {
        return Ok(value);
    }
    Err(PruneError::Number(
        text.into(),
        "a fraction lies between 0 and 1, both excluded",
    ))
}

fn sparsity(text: &str, amount: &str) -> Result<Sparsity, PruneError> {
    let Some((kept, of)) = amount.split_once(':') else {
        return fraction(text, amount).map(Sparsity::Fraction);
    };
    let number = |part: &str| part.parse().map_err(|_| PruneError::Unknown(text.into()));
    let (kept, of): (usize, usize) = (number(kept)?, number(of)?);
    if kept > 0 && kept < of {
        return Ok(Sparsity::Pattern { kept, of });
    }
    Err(PruneError::Number(
        text.into(),
        "N:M keeps N of each M weights, fewer than M and more than none",
    ))
}

impl Pruning {
    /// A pruning of all matrices of the layers but the first and the last.
    ///
    /// # Panics
    /// If `sparsity` keeps nothing or everything.
    pub fn new(criterion: Criterion, sparsity: Sparsity) -> Self {
        let takes_some = match sparsity {
            Sparsity::Fraction(fraction) => fraction > 0.0 && fraction < 1.0,
            Sparsity::Pattern { kept, of } => kept > 0 && kept < of,
        };
        assert!(takes_some, "{sparsity} keeps nothing or everything");
        Self {
            criterion,
            sparsity,
            tensors: None,
        }
    }

    /// Prunes the matrices whose names match `pattern` somewhere, and no others.
    ///
    /// # Errors
    /// [`PruneError::Pattern`] if that is no regular expression.
    pub fn matching(self, pattern: &str) -> Result<Self, PruneError> {
        let tensors = Regex::new(pattern).map_err(|error| PruneError::Pattern {
            pattern: pattern.into(),
            message: error.to_string(),
        })?;
        Ok(Self {
            tensors: Some(tensors),
            ..self
        })
    }

    /// Whether `tensor`, of a model of `layers` layers, is pruned.
    ///
    /// Without a pattern, embeddings, head, and the first and last layer are spared: what they lose costs most.
    pub fn takes(&self, tensor: &TensorFacts, layers: usize) -> bool {
        if !crate::plan::is_quantizable(tensor) {
            return false;
        }
        match &self.tensors {
            Some(pattern) => pattern.is_match(&tensor.name),
            None => tensor
                .layer()
                .is_some_and(|layer| layer > 0 && layer + 1 < layers),
        }
    }
}

impl fmt::Display for Pruning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let criterion = match self.criterion {
            Criterion::Magnitude => "magnitude",
            Criterion::Wanda => "wanda",
        };
        write!(f, "{criterion}:{}", self.sparsity)
    }
}

impl fmt::Display for Sparsity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fraction(fraction) => write!(f, "{fraction}"),
            Self::Pattern { kept, of } => write!(f, "{kept}:{of}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dino_core::DType;

    #[test]
    fn what_is_asked_for_is_understood() {
        for text in ["wanda:0.5", "magnitude:0.25", "wanda:2:4", "magnitude:4:8"] {
            match text.parse() {
                Ok(Prune::Weights(pruning)) => assert_eq!(pruning.to_string(), text),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!("ffn:0.25".parse(), Ok(Prune::FeedForward(x)) if x == 0.25));
        assert!(matches!("heads:0.5".parse(), Ok(Prune::Heads(x)) if x == 0.5));
        for wrong in ["", "wanda", "wanda:x", "wanda:2:x", "layers:-1", "rows:0.5"] {
            assert!(
                matches!(wrong.parse::<Prune>(), Err(PruneError::Unknown(_))),
                "{wrong}"
            );
        }
        for wrong in [
            "wanda:0",
            "wanda:1",
            "wanda:nan",
            "ffn:1.5",
            "wanda:4:4",
            "wanda:0:4",
            "layers:0",
        ] {
            assert!(
                matches!(wrong.parse::<Prune>(), Err(PruneError::Number(..))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn key_tensors_are_spared_unless_they_are_named() {
        let tensor = |name: &str| TensorFacts {
            name: name.into(),
            shape: vec![64, 64],
            dtype: DType::F16,
        };
        let pruning = Pruning::new(Criterion::Magnitude, Sparsity::Fraction(0.5));
        let taken = |pruning: &Pruning, name| pruning.takes(&tensor(name), 4);
        for (name, is_taken) in [
            ("blk.1.attn_q.weight", true),
            ("blk.2.ffn_down.weight", true),
            ("blk.0.attn_q.weight", false),
            ("blk.3.attn_q.weight", false),
            ("blk.1.attn_norm.weight", false),
            ("output.weight", false),
            ("token_embd.weight", false),
        ] {
            assert_eq!(taken(&pruning, name), is_taken, "{name}");
        }
        let named = pruning.matching("ffn_(up|down)").unwrap();
        assert!(taken(&named, "blk.0.ffn_up.weight"));
        assert!(!taken(&named, "blk.1.attn_q.weight"));
        let wrong = Pruning::new(Criterion::Wanda, Sparsity::Fraction(0.5)).matching("(");
        assert!(matches!(wrong, Err(PruneError::Pattern { .. })));
    }
}
