//! From the body of a request to what the engine is asked for.

mod fields;
mod forced;
mod sampling;

pub(crate) use fields::{GenerateBody, Logprobs, OneOrMany, PromptField};
pub(crate) use forced::{forced_call, output_grammar};

use std::sync::Arc;

use dino_llm::{Constraint, EngineStream, Prompt, Request, SamplingParams};

use crate::error::ApiError;
use crate::state::App;

/// Some answers to some prompts.
pub(crate) struct Plan {
    pub(crate) prompts: Vec<Prompt>,
    /// Answers to each prompt.
    pub(crate) answers: usize,
    pub(crate) params: SamplingParams,
    pub(crate) constraint: Option<Constraint>,
}

impl Plan {
    /// Hands the requests to the engine; answers to one prompt follow each other.
    pub(crate) fn submit(self, app: &App) -> Result<Vec<EngineStream>, ApiError> {
        let count = self.prompts.len().saturating_mul(self.answers);
        let most = app.limits.choices;
        if count == 0 || count > most {
            let message = format!("{count} answers were asked for; 1 to {most} are given");
            return Err(ApiError::bad("n", message));
        }
        let mut streams = Vec::with_capacity(count);
        for prompt in &self.prompts {
            for answer in 0..self.answers {
                let mut params = self.params.clone();
                // The same seed for all would give the same answer again and again.
                params.seed = params.seed.map(|seed| seed.wrapping_add(answer as u64));
                let mut request = Request::new(prompt.clone(), &params).timeout(app.limits.answer);
                if let Some(constraint) = &self.constraint {
                    request = request.processor(constraint.clone());
                }
                streams.push(app.engine.submit(request)?);
            }
        }
        Ok(streams)
    }
}

/// Runs what takes time (templates, tokens, grammars) where it does not hold up other clients.
pub(crate) async fn prepare<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let permit = app.preparing.acquire().await;
    let _permit = permit.map_err(ApiError::internal)?;
    let app = app.clone();
    let working = tokio::task::spawn_blocking(move || work(&app));
    working.await.map_err(ApiError::internal)?
}
