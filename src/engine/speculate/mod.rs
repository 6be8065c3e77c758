//! Guessing tokens ahead: several are run in one step, and those that the sampler draws anyway are kept.
//!
//! Each position of a guess is sampled from the model's own logits, with the request's own sampler and random state,
//! and the next position counts only while the drawn token is the guessed one. So the text is the one without guessing,
//! to the bit, at any temperature. What is won is speed: a step of a few rows reads the weights once, as a step of one
//! row does. (Leviathan et al., arXiv:2211.17192, accept more at high temperatures, but give another text of the same
//! distribution.)

mod cost;
mod draft;
mod lookup;
mod patience;

pub(super) use cost::StepCost;
use draft::Draft;
use patience::Patience;

use crate::{Model, Result};

/// How tokens are guessed ahead; see [`Request::speculation`](crate::Request::speculation).
///
/// ```
/// use dino_llm::{Request, SamplingParams, Speculation};
///
/// let request = Request::new("Repeat after me: …", &SamplingParams::greedy())
///     .speculation(Speculation::prompt_lookup().max_tokens(6));
/// # drop(request);
/// ```
#[derive(Clone, Debug)]
pub struct Speculation {
    source: Source,
    max_tokens: usize,
    is_adaptive: bool,
}

#[derive(Clone, Debug)]
enum Source {
    PromptLookup,
    Draft(Model),
}

impl Speculation {
    /// Guesses that what followed the last few tokens before follows them again: for summaries, edits, code, answers
    /// that quote. Costs nothing where nothing repeats.
    pub fn prompt_lookup() -> Self {
        Self {
            source: Source::PromptLookup,
            max_tokens: 10,
            is_adaptive: true,
        }
    }

    /// Guesses what a much smaller model of the same vocabulary would say.
    pub fn draft(model: &Model) -> Self {
        Self {
            source: Source::Draft(model.clone()),
            max_tokens: 5,
            is_adaptive: true,
        }
    }

    /// The most tokens of a guess; 10 by default, and 5 with a draft model. Fewer are guessed where guesses are seldom
    /// right, and none for a while where they do not pay.
    #[must_use]
    pub fn max_tokens(self, max_tokens: usize) -> Self {
        Self { max_tokens, ..self }
    }

    /// With false the most tokens are guessed in every step, whether that pays or not; true by default.
    #[must_use]
    pub fn adaptive(self, adaptive: bool) -> Self {
        Self {
            is_adaptive: adaptive,
            ..self
        }
    }

    /// Tokens of the draft model's vocabulary, if there is one.
    pub(super) fn vocabulary(&self) -> Option<usize> {
        match &self.source {
            Source::PromptLookup => None,
            Source::Draft(model) => Some(model.tokenizer().vocab_size()),
        }
    }
}

/// Guesses for one request, and learns whether that pays.
pub(super) struct Speculator {
    guesser: Guesser,
    /// None where it guesses in any case.
    patience: Option<Patience>,
    max_tokens: usize,
}

enum Guesser {
    PromptLookup,
    Draft(Box<Draft>),
}

impl Speculator {
    pub(super) fn new(speculation: &Speculation) -> Self {
        Self {
            guesser: match &speculation.source {
                Source::PromptLookup => Guesser::PromptLookup,
                Source::Draft(model) => Guesser::Draft(Box::new(Draft::new(model))),
            },
            patience: speculation.is_adaptive.then(Patience::default),
            max_tokens: speculation.max_tokens,
        }
    }

    /// Guesses what follows `ids`: at most `most` tokens, and only as many as pay where `texts` are generated together.
    ///
    /// # Errors
    /// What the draft model's forward pass reports.
    pub(super) fn guess(
        &mut self,
        ids: &[u32],
        most: usize,
        (cost, texts): (&StepCost, usize),
    ) -> Result<Vec<u32>> {
        let mut most = most.min(self.max_tokens);
        if let Some(patience) = &mut self.patience {
            let drafting = match &self.guesser {
                Guesser::PromptLookup => 0.0,
                Guesser::Draft(draft) => draft.seconds(),
            };
            most = most.min(patience.worth(cost.price(texts, drafting)));
        }
        if most == 0 {
            return Ok(Vec::new());
        }
        match &mut self.guesser {
            Guesser::PromptLookup => Ok(lookup::guess(ids, most).to_vec()),
            Guesser::Draft(draft) => draft.guess(ids, most),
        }
    }

    /// Learns that of `guessed` tokens the first `right` were drawn.
    pub(super) fn learn(&mut self, guessed: usize, right: usize) {
        if let Some(patience) = &mut self.patience {
            patience.learn(guessed, right);
        }
    }
}
