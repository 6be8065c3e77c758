//! What the caller asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SamplingError;

/// How tokens are chosen and when generation ends.
///
/// The default is llama.cpp's: temperature 0.8, top-k 40, top-p 0.95, min-p 0.05, no penalties, no limit but the context.
///
/// ```
/// use dino_llm::SamplingParams;
///
/// let params = SamplingParams {
///     seed: Some(7),
///     max_tokens: Some(64),
///     ..SamplingParams::creative()
/// };
/// assert!(params.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingParams {
    /// Divides the logits of the survivors before the draw; 0 takes the most likely token.
    pub temperature: f32,
    /// Keeps this many most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest most likely tokens whose probabilities reach this sum (nucleus sampling, arXiv:1904.09751); 1 is off.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as likely as the most likely one (arXiv:2407.01082); 0 is off.
    pub min_p: f32,
    /// Keeps the tokens whose surprise is nearest the expected one, up to this sum of probabilities
    /// (locally typical sampling, arXiv:2202.00666); 1 is off.
    pub typical_p: f32,
    /// Divides positive logits and multiplies negative ones of recent tokens (arXiv:1909.05858); 1 is off.
    pub repetition_penalty: f32,
    /// Taken once from the logit of every recent token, -2 to 2.
    pub presence_penalty: f32,
    /// Taken from the logit of a recent token for every time it occurs, -2 to 2.
    pub frequency_penalty: f32,
    /// How many of the last tokens, prompt included, are recent to the penalties; `usize::MAX` is all of them, 0 none.
    pub repeat_last_n: usize,
    /// Added to the logits of single tokens; negative infinity bans one.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Makes the draws repeatable; `None` takes a fresh seed.
    pub seed: Option<u64>,
    /// Ends generation after this many tokens; `None` goes on until the context is full.
    pub max_tokens: Option<usize>,
    /// Bans end-of-generation and stop tokens before this many were generated.
    pub min_tokens: usize,
    /// Ends generation where one of these texts appears; it is not part of the output.
    pub stop: Vec<String>,
    /// Ends generation at these tokens, besides the model's own.
    pub stop_token_ids: Vec<u32>,
    /// Bans the model's end-of-generation tokens, so that only `max_tokens`, `stop` and `stop_token_ids` end the text.
    pub ignore_eos: bool,
    /// Reports the log probability of every token and of this many most likely alternatives.
    pub logprobs: Option<usize>,
    /// Leaves special tokens out of the text, which is the default. Some models begin calls of tools with one, so what
    /// reads these from the text has to see it. The token that ends a text is never part of it.
    pub skip_special_tokens: bool,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            repeat_last_n: 64,
            logit_bias: BTreeMap::new(),
            seed: None,
            max_tokens: None,
            min_tokens: 0,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            ignore_eos: false,
            logprobs: None,
            skip_special_tokens: true,
        }
    }
}

/// Presets.
impl SamplingParams {
    /// Always the most likely token: repeatable, for tests and extraction.
    pub fn greedy() -> Self {
        Self::unfiltered(0.0)
    }

    /// Close to the most likely text, with a little freedom: answers, code.
    pub fn precise() -> Self {
        Self {
            temperature: 0.3,
            top_p: 0.9,
            min_p: 0.1,
            ..Self::default()
        }
    }

    /// The default: conversation.
    pub fn balanced() -> Self {
        Self::default()
    }

    /// Wide, cut only relative to the most likely token: stories, ideas.
    pub fn creative() -> Self {
        Self {
            min_p: 0.05,
            ..Self::unfiltered(1.1)
        }
    }

    /// Nothing filtered: at temperature 1 the model's own distribution.
    pub fn unfiltered(temperature: f32) -> Self {
        Self {
            temperature,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            ..Self::default()
        }
    }
}

/// The fields set most, for chaining on a preset.
impl SamplingParams {
    /// Sets [`temperature`](Self::temperature).
    pub fn with_temperature(self, temperature: f32) -> Self {
        Self {
            temperature,
            ..self
        }
    }

    /// Sets [`seed`](Self::seed).
    pub fn with_seed(self, seed: u64) -> Self {
        Self {
            seed: Some(seed),
            ..self
        }
    }

    /// Sets [`max_tokens`](Self::max_tokens).
    pub fn with_max_tokens(self, max_tokens: usize) -> Self {
        Self {
            max_tokens: Some(max_tokens),
            ..self
        }
    }

    /// Adds a text to [`stop`](Self::stop).
    pub fn with_stop(mut self, text: impl Into<String>) -> Self {
        self.stop.push(text.into());
        self
    }

    /// Sets [`logprobs`](Self::logprobs).
    pub fn with_logprobs(self, alternatives: usize) -> Self {
        Self {
            logprobs: Some(alternatives),
            ..self
        }
    }
}

impl SamplingParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`SamplingError`] naming the first field that is wrong, its value and what it may be.
    pub fn validate(&self) -> Result<(), SamplingError> {
        const NON_NEGATIVE: &str = "a finite number of at least 0 (0 takes the most likely token)";
        const POSITIVE: &str = "a finite number above 0 (1 is off)";
        const FRACTION: &str = "a number from 0 to 1";
        const PENALTY: &str = "a number from -2 to 2 (0 is off)";

        let fraction = |value: f32| (0.0..=1.0).contains(&value);
        let penalty = |value: f32| (-2.0..=2.0).contains(&value);
        let checks = [
            (
                "temperature",
                self.temperature,
                (0.0..f32::INFINITY).contains(&self.temperature),
                NON_NEGATIVE,
            ),
            ("top_p", self.top_p, fraction(self.top_p), FRACTION),
            ("min_p", self.min_p, fraction(self.min_p), FRACTION),
            (
                "typical_p",
                self.typical_p,
                fraction(self.typical_p),
                FRACTION,
            ),
            (
                "repetition_penalty",
                self.repetition_penalty,
                self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite(),
                POSITIVE,
            ),
            (
                "presence_penalty",
                self.presence_penalty,
                penalty(self.presence_penalty),
                PENALTY,
            ),
            (
                "frequency_penalty",
                self.frequency_penalty,
                penalty(self.frequency_penalty),
                PENALTY,
            ),
        ];
        for (field, value, holds, allowed) in checks {
            if !holds {
                let value = f64::from(value);
                return Err(SamplingError::OutOfRange {
                    field,
                    value,
                    allowed,
                });
            }
        }
        self.validate_limits()
    }

    fn validate_limits(&self) -> Result<(), SamplingError> {
        if let Some((&id, &value)) = self
            .logit_bias
            .iter()
            .find(|(_, bias)| bias.is_nan() || **bias == f32::INFINITY)
        {
            return Err(SamplingError::InvalidBias { id, value });
        }
        if let Some(index) = self.stop.iter().position(String::is_empty) {
            return Err(SamplingError::EmptyStop { index });
        }
        match self.max_tokens {
            Some(0) => Err(SamplingError::OutOfRange {
                field: "max_tokens",
                value: 0.0,
                allowed: "at least 1, or to nothing for no limit",
            }),
            Some(max_tokens) if max_tokens < self.min_tokens => Err(SamplingError::MinAboveMax {
                min_tokens: self.min_tokens,
                max_tokens,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid() {
        for preset in [
            SamplingParams::greedy(),
            SamplingParams::precise(),
            SamplingParams::balanced(),
            SamplingParams::creative(),
        ] {
            preset.validate().unwrap();
        }
    }

    #[test]
    fn every_bad_number_is_named() {
        type Set = fn(&mut SamplingParams, f32);
        let fields: [(&str, Set, &[f32]); 7] = [
            (
                "temperature",
                |p, v| p.temperature = v,
                &[-0.1, f32::INFINITY],
            ),
            ("top_p", |p, v| p.top_p = v, &[-0.1, 1.1]),
            ("min_p", |p, v| p.min_p = v, &[-0.1, 1.1]),
            ("typical_p", |p, v| p.typical_p = v, &[-0.1, 1.1]),
            (
                "repetition_penalty",
                |p, v| p.repetition_penalty = v,
                &[0.0, -1.0, f32::INFINITY],
            ),
            (
                "presence_penalty",
                |p, v| p.presence_penalty = v,
                &[-2.5, 2.5],
            ),
            (
                "frequency_penalty",
                |p, v| p.frequency_penalty = v,
                &[-2.5, 2.5],
            ),
        ];
        for (name, set, bad) in fields {
            for &value in bad.iter().chain(&[f32::NAN]) {
                let mut params = SamplingParams::default();
                set(&mut params, value);
                match params.validate() {
                    Err(SamplingError::OutOfRange { field, .. }) => assert_eq!(field, name),
                    other => panic!("{name} = {value}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn impossible_limits_are_refused() {
        let base = SamplingParams::default;
        assert!(matches!(
            base().with_stop("").validate(),
            Err(SamplingError::EmptyStop { index: 0 })
        ));
        assert!(matches!(
            base().with_max_tokens(0).validate(),
            Err(SamplingError::OutOfRange {
                field: "max_tokens",
                ..
            })
        ));
        let crossed = SamplingParams {
            min_tokens: 9,
            ..base().with_max_tokens(3)
        };
        assert!(matches!(
            crossed.validate(),
            Err(SamplingError::MinAboveMax {
                min_tokens: 9,
                max_tokens: 3
            })
        ));
        for bias in [f32::NAN, f32::INFINITY] {
            let biased = SamplingParams {
                logit_bias: BTreeMap::from([(5, bias)]),
                ..base()
            };
            assert!(matches!(
                biased.validate(),
                Err(SamplingError::InvalidBias { id: 5, .. })
            ));
        }
    }

    #[test]
    fn reads_from_json_and_refuses_unknown_fields() {
        let params: SamplingParams =
            serde_json::from_str(r#"{"temperature": 0, "logit_bias": {"3": -1.5}}"#).unwrap();
        assert_eq!(params.temperature, 0.0);
        assert_eq!(params.logit_bias[&3], -1.5);
        assert!(serde_json::from_str::<SamplingParams>(r#"{"temprature": 0}"#).is_err());
    }
}
