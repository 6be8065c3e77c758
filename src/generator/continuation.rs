//! One text while it is continued, whoever runs the model for it.

use std::sync::Arc;
use std::time::Instant;

use dino_models::{Adapter, ModelError};

use super::answer::Answer;
use super::overflow::slide;
use super::request::PromptProgress;
use super::{ContextOverflow, FinishReason, Request, Token, Usage};
use crate::{
    CancelToken, Error, Model, Result, SampledToken, Sampler, SamplingParams, TokenContext,
};

/// A prompt and its answer so far: how the next token is drawn, what text it makes, and when the text ends.
pub(crate) struct Continuation {
    model: Model,
    params: SamplingParams,
    adapter: Option<Arc<Adapter>>,
    cancel: CancelToken,
    deadline: Option<Instant>,
    sampler: Sampler,
    answer: Answer,
    /// Of prompt and answer.
    ids: Vec<u32>,
    overflow: ContextOverflow,
    on_prompt_progress: Option<PromptProgress>,
    /// What prompt and answer may have together.
    context: usize,
    /// What the model is run with instead of all ids, after the first of them were dropped.
    window: Option<Vec<u32>>,
    /// Of the window, how many tokens stayed in their places; until whoever runs the model has taken note.
    stayed: Option<usize>,
    /// Tokens that may be generated.
    room: usize,
    usage: Usage,
    finish_reason: Option<FinishReason>,
}

impl Continuation {
    /// Checks all that can be checked before anything is run; `context` is what prompt and answer may have together.
    pub(crate) fn new(model: &Model, request: Request, context: usize) -> Result<Self> {
        let mut sampler = Sampler::new(&request.params, model.end_of_generation())?;
        for processor in request.processors {
            sampler.add_processor(processor);
        }
        let mut ids = request.prompt.into_tokens(&**model.tokenizer())?;
        if ids.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        check_tokens(model, &ids)?;
        let (overflow, begins) = (request.overflow, model.tokenizer().special().bos);
        let truncated_tokens =
            overflow.fit(&mut ids, context, request.params.max_tokens, begins)?;
        let fits = match overflow {
            ContextOverflow::Slide { .. } => usize::MAX,
            _ => context - ids.len(),
        };
        Ok(Self {
            model: model.clone(),
            adapter: request.adapter,
            cancel: request.cancel,
            deadline: request.deadline,
            sampler,
            answer: Answer::new(&request.params),
            room: request
                .params
                .max_tokens
                .map_or(fits, |most| most.min(fits)),
            params: request.params,
            usage: Usage {
                prompt_tokens: ids.len(),
                truncated_tokens,
                ..Usage::default()
            },
            ids,
            overflow,
            on_prompt_progress: request.on_prompt_progress,
            context,
            window: None,
            stayed: None,
            finish_reason: None,
        })
    }

    /// What the model is run with.
    pub(crate) fn adapter(&self) -> Option<&Arc<Adapter>> {
        self.adapter.as_ref()
    }

    /// Whether it ends here because it was cancelled or its time is over; to be asked before the model is run for it.
    pub(crate) fn is_interrupted(&mut self) -> bool {
        if self.cancel.is_cancelled() {
            self.finish_reason = Some(FinishReason::Cancelled);
        } else if self.deadline.is_some_and(|end| Instant::now() >= end) {
            self.finish_reason = Some(FinishReason::Deadline);
        }
        self.finish_reason.is_some()
    }

    /// Tells who wants to know that the model has seen so many tokens; nothing after the prompt.
    pub(crate) fn report_seen(&mut self, seen: usize) {
        if let (0, Some(report)) = (self.usage.completion_tokens, &mut self.on_prompt_progress) {
            report(seen, self.usage.prompt_tokens);
        }
    }

    /// Draws the next token from the logits behind [`Self::ids`], `[vocabulary]`, which are left changed.
    pub(crate) fn draw(&mut self, logits: &mut [f32]) -> Result<Token> {
        let (prompt, generated) = self.ids.split_at(self.usage.prompt_tokens);
        // Logits beyond the vocabulary are padding.
        let logits = &mut logits[..self.model.tokenizer().vocab_size()];
        let context = TokenContext { prompt, generated };
        let sampled = self.sampler.sample(logits, &context)?;
        self.accept(sampled)
    }

    fn accept(&mut self, sampled: SampledToken) -> Result<Token> {
        let SampledToken {
            id,
            logprob,
            top_logprobs,
        } = sampled;
        let ends = self.model.end_of_generation().binary_search(&id).is_ok()
            || self.params.stop_token_ids.contains(&id);
        let mut text = String::new();
        if !ends {
            text = self.answer.push(&**self.model.tokenizer(), id)?;
        }
        self.ids.push(id);
        if let Some(window) = &mut self.window {
            window.push(id);
        }
        self.usage.completion_tokens += 1;
        let is_full = self.usage.completion_tokens == self.room;
        if ends || is_full {
            text += &self.answer.finish();
        }
        if ends || self.answer.stopped_at().is_some() {
            self.finish_reason = Some(FinishReason::Stop);
        } else if is_full {
            self.finish_reason = Some(FinishReason::Length);
        } else {
            self.slide();
        }
        Ok(Token {
            id,
            text,
            logprob,
            top_logprobs,
        })
    }

    /// Drops tokens if the context is full and the policy says so.
    fn slide(&mut self) {
        let ContextOverflow::Slide { keep } = self.overflow else {
            return;
        };
        let before = self.ids().len();
        if before < self.context {
            return;
        }
        let window = self.window.get_or_insert_with(|| self.ids.clone());
        self.stayed = slide(window, keep, self.context);
        self.usage.truncated_tokens += before - window.len();
    }

    /// How many of the first tokens are where they were, if others were dropped since the last time: what the model has seen
    /// behind these is to be forgotten and [`Self::ids`] to be run from there.
    pub(crate) fn take_stayed(&mut self) -> Option<usize> {
        self.stayed.take()
    }

    /// Ends it because nobody wants it any more.
    pub(crate) fn cancel(&mut self) {
        self.finish_reason = Some(FinishReason::Cancelled);
    }

    /// Ends it with an error, which its stream gives.
    pub(crate) fn fail(&mut self) {
        self.finish_reason = Some(FinishReason::Failed);
    }

    /// Tokens that may still be generated before the text ends or the context is full.
    pub(crate) fn left(&self) -> usize {
        let left = self.room - self.usage.completion_tokens;
        left.min(self.context - self.ids().len())
    }

    /// The model that it is continued with.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// Tokens of prompt and answer that the model is to have seen before the next one is drawn.
    pub(crate) fn ids(&self) -> &[u32] {
        self.window.as_ref().unwrap_or(&self.ids)
    }

    /// A token that cancels it.
    pub(crate) fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// Why it ended; `None` while it goes on.
    pub(crate) fn finish_reason(&self) -> Option<FinishReason> {
        self.finish_reason
    }

    /// The stop string that ended it.
    pub(crate) fn stop(&self) -> Option<&String> {
        self.params.stop.get(self.answer.stopped_at()?)
    }

    /// Tokens counted so far.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Counts tokens of the prompt as not run again.
    pub(crate) fn set_cached_tokens(&mut self, tokens: usize) {
        self.usage.cached_tokens = tokens;
    }

    /// The seed that gives the same text again.
    pub(crate) fn seed(&self) -> u64 {
        self.sampler.seed()
    }

    /// The parameters it was asked for with.
    pub(crate) fn params(&self) -> &SamplingParams {
        &self.params
    }
}

fn check_tokens(model: &Model, ids: &[u32]) -> Result<()> {
    let vocabulary = model.config().vocabulary;
    match ids.iter().find(|&&id| id as usize >= vocabulary) {
        Some(&token) => Err(ModelError::TokenOutOfRange { token, vocabulary }.into()),
        None => Ok(()),
    }
}
