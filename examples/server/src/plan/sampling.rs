//! How tokens are chosen.

use std::collections::BTreeMap;

use dino_llm::SamplingParams;
use serde_json::Value as Json;

use super::{GenerateBody, OneOrMany};
use crate::error::ApiError;
use crate::state::App;

/// Alternatives that are reported at most.
const MOST_LOGPROBS: usize = 20;

impl GenerateBody {
    /// The parameters of the request; what it does not say is as in `SamplingParams::default()`, and an answer has
    /// `max_tokens` tokens where it names no number.
    pub(crate) fn sampling(
        &self,
        app: &App,
        max_tokens: Option<usize>,
        logprobs: Option<usize>,
    ) -> Result<SamplingParams, ApiError> {
        if logprobs.is_some_and(|count| count > MOST_LOGPROBS) {
            let message = format!("at most {MOST_LOGPROBS} alternatives are reported");
            return Err(ApiError::bad("top_logprobs", message));
        }
        let base = SamplingParams::default();
        let asked = self
            .max_completion_tokens
            .or(self.max_tokens)
            .or(max_tokens);
        let max_tokens = [asked, app.limits.tokens].into_iter().flatten().min();
        // -1 is how others say "all".
        let count = |asked: Option<i64>, all: usize, default: usize| match asked {
            Some(asked) => usize::try_from(asked).unwrap_or(all),
            None => default,
        };
        let stop = match &self.stop {
            Some(OneOrMany::One(stop)) => vec![stop.clone()],
            Some(OneOrMany::Many(stops)) => stops.clone(),
            None => Vec::new(),
        };
        Ok(SamplingParams {
            temperature: self.temperature.unwrap_or(base.temperature),
            top_k: count(self.top_k, 0, base.top_k),
            top_p: self.top_p.unwrap_or(base.top_p),
            min_p: self.min_p.unwrap_or(base.min_p),
            typical_p: self.typical_p.unwrap_or(base.typical_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(base.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(base.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(base.frequency_penalty),
            repeat_last_n: count(self.repeat_last_n, usize::MAX, base.repeat_last_n),
            logit_bias: self.biases()?,
            seed: self.seed.map(i64::cast_unsigned),
            max_tokens,
            min_tokens: self.min_tokens.unwrap_or_default(),
            stop,
            stop_token_ids: self.stop_token_ids.clone().unwrap_or_default(),
            ignore_eos: self.ignore_eos.unwrap_or_default(),
            logprobs,
            skip_special_tokens: true,
        })
    }

    fn biases(&self) -> Result<BTreeMap<u32, f32>, ApiError> {
        let biases = self.logit_bias.iter().flatten();
        biases
            .map(|(token, bias)| {
                let id = token.parse().map_err(|_| {
                    ApiError::bad("logit_bias", format!("`{token}` is no id of a token"))
                })?;
                Ok((id, *bias))
            })
            .collect()
    }

    /// Refuses what would change the answer and is not supported, rather than pass it over.
    pub(crate) fn check_supported(&self) -> Result<(), ApiError> {
        let is_set = |field: &Option<Json>| field.as_ref().is_some_and(|value| !value.is_null());
        let other_than_text = |kinds: &Vec<String>| kinds.iter().any(|kind| kind != "text");
        let asked = [
            (
                "best_of",
                self.best_of
                    .is_some_and(|count| count > self.n.unwrap_or(1)),
            ),
            ("use_beam_search", self.use_beam_search == Some(true)),
            ("prompt_logprobs", is_set(&self.prompt_logprobs)),
            (
                "include_stop_str_in_output",
                self.include_stop_str_in_output == Some(true),
            ),
            (
                "continue_final_message",
                self.continue_final_message == Some(true),
            ),
            (
                "modalities",
                self.modalities.as_ref().is_some_and(other_than_text),
            ),
        ];
        if let Some((field, _)) = asked.into_iter().find(|(_, asked)| *asked) {
            return Err(ApiError::bad(field, format!("`{field}` is not supported")));
        }
        for (field, value, instead) in [
            ("functions", &self.functions, "tools"),
            ("function_call", &self.function_call, "tool_choice"),
        ] {
            if is_set(value) {
                let message = format!("`{field}` is out of use; `{instead}` takes its place");
                return Err(ApiError::bad(field, message));
            }
        }
        Ok(())
    }

    pub(crate) fn is_streamed(&self) -> bool {
        self.stream == Some(true)
    }

    pub(crate) fn wants_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        options.is_some_and(|options| options.include_usage == Some(true))
    }
}
