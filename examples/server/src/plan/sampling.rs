//! How tokens are chosen.

use std::collections::BTreeMap;

use dino_llm::SamplingParams;

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

    /// Refuses other models than the one that is served.
    pub(crate) fn check_model(&self, app: &App) -> Result<(), ApiError> {
        app.check_model(self.model.as_deref())
    }

    pub(crate) fn is_streamed(&self) -> bool {
        self.stream == Some(true)
    }

    pub(crate) fn wants_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        options.is_some_and(|options| options.include_usage == Some(true))
    }
}

impl App {
    /// Refuses other models than the one that is served.
    pub(crate) fn check_model(&self, asked: Option<&str>) -> Result<(), ApiError> {
        match asked {
            Some(asked) if asked != self.name => {
                let message = format!("there is no model `{asked}`; this is `{}`", self.name);
                let status = axum::http::StatusCode::NOT_FOUND;
                Err(ApiError::new(status, message)
                    .param("model")
                    .code("model_not_found"))
            }
            _ => Ok(()),
        }
    }
}
