//! From the body of a request to what the engine is asked for.

mod fields;
mod forced;
mod sampling;

pub(crate) use fields::{GenerateBody, Logprobs, OneOrMany, PromptField};
pub(crate) use forced::{forced_call, output_constraint};

use std::sync::Arc;

use dino_llm::{Adapter, Constraint, EngineStream, Prompt, Request, SamplingParams, Speculation};

use crate::error::ApiError;
use crate::state::App;

/// Some answers to some prompts.
pub(crate) struct Plan {
    pub(crate) prompts: Vec<Prompt>,
    /// Answers to each prompt.
    pub(crate) answers: usize,
    pub(crate) params: SamplingParams,
    pub(crate) constraint: Option<Constraint>,
    pub(crate) run: Run,
}

/// How the engine runs requests, whatever they ask for.
pub(crate) struct Run {
    adapter: Option<Arc<Adapter>>,
    speculation: Option<Speculation>,
    priority: i32,
}

impl GenerateBody {
    /// How the engine is to run the request.
    pub(crate) fn run(&self, app: &App) -> Result<Run, ApiError> {
        Ok(Run {
            adapter: app.served.writer(self.model.as_deref())?.adapter,
            speculation: app.speculations.choose(self.speculative_config)?,
            // vLLM serves low numbers first, the engine high ones.
            priority: self.priority.unwrap_or_default().saturating_neg(),
        })
    }
}

impl Run {
    fn apply(&self, mut request: Request) -> Request {
        if let Some(adapter) = &self.adapter {
            request = request.adapter(adapter);
        }
        if let Some(speculation) = &self.speculation {
            request = request.speculation(speculation.clone());
        }
        request.priority(self.priority)
    }
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
                let request = Request::new(prompt.clone(), &params).timeout(app.limits.answer);
                let mut request = self.run.apply(request);
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
