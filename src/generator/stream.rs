//! A generation, token by token.

use std::fmt;
use std::time::Instant;

use dino_models::Wanted;

use super::continuation::Continuation;
use super::generate::{Home, return_to};
use super::sequence::Sequence;
use super::stats::Clock;
use super::transcript::{Ending, Transcript};
use super::{Completion, FinishReason, Generator, Request, Stats, Token, Usage};
use crate::{CancelToken, Result};

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
    home: Home,
    /// Taken along while the generation runs.
    sequence: Option<Box<Sequence>>,
    continuation: Continuation,
    transcript: Transcript,
    clock: Clock,
}

impl TokenStream {
    pub(super) fn new(generator: &mut Generator, request: Request) -> Result<Self> {
        let started = Instant::now();
        let model = generator.model().clone();
        let mut continuation = Continuation::new(&model, request, model.context_length())?;
        let mut sequence = generator.take_sequence();
        sequence.adapt(continuation.adapter())?;
        // The last token is always run: its logits are wanted.
        let ids = continuation.ids();
        let cached_tokens = sequence.keep_prefix(ids, ids.len() - 1)?;
        continuation.set_cached_tokens(cached_tokens);
        Ok(Self {
            home: generator.home().clone(),
            sequence: Some(sequence),
            continuation,
            transcript: Transcript::default(),
            clock: Clock {
                prompt: started.elapsed(),
                ..Clock::default()
            },
        })
    }

    /// A token that cancels this generation, also in the middle of its prompt.
    pub fn cancel_token(&self) -> CancelToken {
        self.continuation.cancel_token().clone()
    }

    /// Why the text ended; `None` while it goes on.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.continuation.finish_reason()
    }

    /// Tokens counted so far.
    pub fn usage(&self) -> Usage {
        self.continuation.usage()
    }

    /// How fast it has been so far.
    pub fn stats(&self) -> Stats {
        let load_time = self.continuation.model().load_time();
        Stats::new(self.clock, self.usage(), load_time)
    }

    /// The text so far: that of all tokens, joined.
    pub fn text(&self) -> &str {
        self.transcript.text()
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[Token] {
        self.transcript.tokens()
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
        let ending = Ending {
            finish_reason: self.finish_reason().unwrap_or(FinishReason::Failed),
            stop: self.continuation.stop().cloned(),
            seed: self.continuation.seed(),
            usage: self.usage(),
            stats: self.stats(),
        };
        Ok(self.transcript.complete(ending))
    }

    /// The next token, or `None` if the generation was interrupted.
    fn step(&mut self) -> Result<Option<Token>> {
        let Some(mut sequence) = self.sequence.take() else {
            return Ok(None);
        };
        let token = match self.run_ahead(&mut sequence) {
            Ok(true) => self.continuation.draw(sequence.logits_mut(0)).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        self.sequence = Some(sequence);
        token
    }

    /// Runs the tokens that the model has not seen; false if that was interrupted.
    fn run_ahead(&mut self, sequence: &mut Sequence) -> Result<bool> {
        if let Some(stayed) = self.continuation.take_stayed() {
            sequence.keep_prefix(self.continuation.ids(), stayed)?;
        }
        loop {
            if self.continuation.is_interrupted() {
                return Ok(false);
            }
            let model = self.continuation.model();
            let unseen = &self.continuation.ids()[sequence.len()..];
            let chunk = &unseen[..unseen.len().min(model.prompt_chunk())];
            let is_last = chunk.len() == unseen.len();
            let wanted = if is_last {
                Wanted::Last
            } else {
                Wanted::Nothing
            };
            let cancel = self.continuation.cancel_token();
            if !sequence.push_until(model, chunk, wanted, cancel)? {
                // What cancelled it is seen above.
                continue;
            }
            self.continuation.report_seen(sequence.len());
            if is_last {
                return Ok(true);
            }
        }
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
        if self.finish_reason().is_some() {
            return None;
        }
        let is_first = self.tokens().is_empty();
        let started = Instant::now();
        let token = self.step();
        let spent = if is_first {
            &mut self.clock.prompt
        } else {
            &mut self.clock.decode
        };
        *spent += started.elapsed();
        match &token {
            Ok(Some(token)) => self.transcript.push(token),
            Ok(None) => {}
            Err(_) => self.continuation.fail(),
        }
        if self.finish_reason().is_some() {
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
            .field("model", self.continuation.model())
            .field("params", self.continuation.params())
            .field("usage", &self.usage())
            .field("finish_reason", &self.finish_reason())
            .finish_non_exhaustive()
    }
}
