//! A generation, token by token.

use std::fmt;
use std::time::Instant;

use dino_models::Wanted;

use super::answer::Answer;
use super::generate::{Home, return_to};
use super::sequence::{Sequence, check_context};
use super::stats::Clock;
use super::{Completion, FinishReason, Generator, Request, Stats, Token, Usage};
use crate::{
    CancelToken, Error, Model, Result, SampledToken, Sampler, SamplingParams, TokenContext,
};

/// The tokens of one generation, generated as they are asked for.
///
/// It is cancelled by dropping it, or by its [`CancelToken`] from elsewhere. When it has ended,
/// [`Self::finish_reason`], [`Self::usage`] and [`Self::stats`] say how, and [`Self::into_completion`] gives all of it.
///
/// ```no_run
/// # let model = dino_llm::Model::load("model.gguf")?;
/// # let mut generator = dino_llm::Generator::new(&model);
/// let mut stream = generator.stream("Once upon a time", &Default::default())?;
/// for token in &mut stream {
///     print!("{}", token?.text);
/// }
/// let completion = stream.into_completion()?;
/// println!("\n{:.1} tokens/s", completion.stats.decode_tokens_per_second);
/// # Ok::<(), dino_llm::Error>(())
/// ```
pub struct TokenStream {
    model: Model,
    home: Home,
    /// Taken along while the generation runs.
    sequence: Option<Box<Sequence>>,
    params: SamplingParams,
    cancel: CancelToken,
    sampler: Sampler,
    answer: Answer,
    /// Of prompt and answer.
    ids: Vec<u32>,
    tokens: Vec<Token>,
    /// Tokens that may be generated.
    room: usize,
    usage: Usage,
    clock: Clock,
    finish_reason: Option<FinishReason>,
}

impl TokenStream {
    pub(super) fn new(generator: &mut Generator, request: Request) -> Result<Self> {
        let started = Instant::now();
        let model = generator.model().clone();
        let mut sampler = Sampler::new(&request.params, model.end_of_generation())?;
        for processor in request.processors {
            sampler.add_processor(processor);
        }
        let ids = request.prompt.into_tokens(&**model.tokenizer())?;
        if ids.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        check_context(&model, ids.len() + 1)?;
        let mut sequence = generator.take_sequence();
        // The last token is always run: its logits are wanted.
        let cached_tokens = sequence.keep_prefix(&ids, ids.len() - 1)?;
        let fits = model.context_length() - ids.len();
        Ok(Self {
            home: generator.home().clone(),
            sequence: Some(sequence),
            cancel: request.cancel,
            sampler,
            answer: Answer::new(&request.params),
            tokens: Vec::new(),
            room: request
                .params
                .max_tokens
                .map_or(fits, |most| most.min(fits)),
            params: request.params,
            usage: Usage {
                prompt_tokens: ids.len(),
                completion_tokens: 0,
                cached_tokens,
            },
            ids,
            model,
            clock: Clock {
                prompt: started.elapsed(),
                ..Clock::default()
            },
            finish_reason: None,
        })
    }

    /// A token that cancels this generation, also in the middle of its prompt.
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Why the text ended; `None` while it goes on.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish_reason
    }

    /// Tokens counted so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// How fast it has been so far.
    pub fn stats(&self) -> Stats {
        Stats::new(self.clock, self.usage, self.model.load_time())
    }

    /// The text so far: that of all tokens, joined.
    pub fn text(&self) -> &str {
        self.answer.text()
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Runs the generation to its end and gives all of it, tokens already seen included.
    ///
    /// # Errors
    /// What the forward pass and the sampler report.
    pub fn into_completion(mut self) -> Result<Completion> {
        self.complete()
    }

    /// As [`Self::into_completion`]; only the tokens are gone from this stream then.
    pub(crate) fn complete(&mut self) -> Result<Completion> {
        while self.next().transpose()?.is_some() {}
        let stops = &self.params.stop;
        let stop = self.answer.stopped_at().and_then(|index| stops.get(index));
        Ok(Completion {
            text: self.answer.text().to_owned(),
            finish_reason: self.finish_reason.unwrap_or(FinishReason::Failed),
            stop: stop.cloned(),
            seed: self.sampler.seed(),
            usage: self.usage,
            stats: self.stats(),
            tokens: std::mem::take(&mut self.tokens),
        })
    }

    /// The next token, or `None` if the generation was cancelled.
    fn step(&mut self) -> Result<Option<Token>> {
        let Some(mut sequence) = self.sequence.take() else {
            return Ok(None);
        };
        let sampled = match self.run_ahead(&mut sequence) {
            Ok(true) => self.sample(&mut sequence).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        self.sequence = Some(sequence);
        sampled?.map(|sampled| self.accept(sampled)).transpose()
    }

    /// Runs the tokens that the model has not seen; false if that was cancelled.
    fn run_ahead(&self, sequence: &mut Sequence) -> Result<bool> {
        loop {
            if self.cancel.is_cancelled() {
                return Ok(false);
            }
            let unseen = &self.ids[sequence.len()..];
            let chunk = &unseen[..unseen.len().min(self.model.prompt_chunk())];
            let is_last = chunk.len() == unseen.len();
            let wanted = if is_last {
                Wanted::Last
            } else {
                Wanted::Nothing
            };
            sequence.push(&self.model, chunk, wanted)?;
            if is_last {
                return Ok(true);
            }
        }
    }

    fn sample(&mut self, sequence: &mut Sequence) -> Result<SampledToken> {
        let (prompt, generated) = self.ids.split_at(self.usage.prompt_tokens);
        // Logits beyond the vocabulary are padding.
        let logits = &mut sequence.logits_mut(0)[..self.model.tokenizer().vocab_size()];
        let context = TokenContext { prompt, generated };
        Ok(self.sampler.sample(logits, &context)?)
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
        self.usage.completion_tokens += 1;
        let is_full = self.usage.completion_tokens == self.room;
        if ends || is_full {
            text += &self.answer.finish();
        }
        if ends || self.answer.stopped_at().is_some() {
            self.finish_reason = Some(FinishReason::Stop);
        } else if is_full {
            self.finish_reason = Some(FinishReason::Length);
        }
        let token = Token {
            id,
            text,
            logprob,
            top_logprobs,
        };
        self.tokens.push(token.clone());
        Ok(token)
    }

    fn take_home(&mut self) {
        if let Some(sequence) = self.sequence.take() {
            return_to(&self.home, sequence);
        }
    }
}

impl Iterator for TokenStream {
    type Item = Result<Token>;

    fn next(&mut self) -> Option<Result<Token>> {
        if self.finish_reason.is_some() {
            return None;
        }
        let is_first = self.tokens.is_empty();
        let started = Instant::now();
        let token = self.step();
        let spent = if is_first {
            &mut self.clock.prompt
        } else {
            &mut self.clock.decode
        };
        *spent += started.elapsed();
        match &token {
            Ok(Some(_)) => {}
            Ok(None) => self.finish_reason = Some(FinishReason::Cancelled),
            Err(_) => self.finish_reason = Some(FinishReason::Failed),
        }
        if self.finish_reason.is_some() {
            self.take_home();
        }
        token.transpose()
    }
}

impl Drop for TokenStream {
    fn drop(&mut self) {
        self.take_home();
    }
}

impl fmt::Debug for TokenStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenStream")
            .field("model", &self.model)
            .field("params", &self.params)
            .field("usage", &self.usage)
            .field("finish_reason", &self.finish_reason)
            .finish_non_exhaustive()
    }
}
