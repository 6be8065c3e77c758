//! The chain from logits to a token.

use dino_kernels::Kernels;

use super::edits;
use super::filters::{Candidates, Scratch};
use super::logprobs::{self, TokenLogprob};
use super::random::{self, SplitMix64};
use super::{LogitsProcessor, SamplingError, SamplingParams, TokenContext};

/// A drawn token.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledToken {
    /// The token.
    pub id: u32,
    /// Its log probability under the model, before processors, penalties, filters and temperature; present when
    /// [`SamplingParams::logprobs`] is.
    pub logprob: Option<f32>,
    /// The likeliest tokens under the same distribution, likeliest first; as many as were asked for.
    pub top_logprobs: Vec<TokenLogprob>,
}

/// Chooses the tokens of one sequence.
///
/// Holds the random state and the scratch buffers; after the first token it allocates only to report log probabilities.
pub struct Sampler {
    params: SamplingParams,
    seed: u64,
    random: SplitMix64,
    processors: Vec<Box<dyn LogitsProcessor>>,
    end_of_generation: Vec<u32>,
    scratch: Scratch,
    recent: Vec<u32>,
    model_logits: Vec<f32>,
}

impl Sampler {
    /// Starts a sequence; `end_of_generation` are the model's own ending tokens, which `ignore_eos` and `min_tokens` ban.
    ///
    /// # Errors
    /// As [`SamplingParams::validate`].
    pub fn new(params: &SamplingParams, end_of_generation: &[u32]) -> Result<Self, SamplingError> {
        params.validate()?;
        let seed = params.seed.unwrap_or_else(random::entropy);
        Ok(Self {
            params: params.clone(),
            seed,
            random: SplitMix64::new(seed),
            processors: Vec::new(),
            end_of_generation: end_of_generation.to_vec(),
            scratch: Scratch::default(),
            recent: Vec::new(),
            model_logits: Vec::new(),
        })
    }

    /// Adds a processor after those already there.
    pub fn add_processor(&mut self, processor: Box<dyn LogitsProcessor>) {
        self.processors.push(processor);
    }

    /// The seed in use: the given one, or the fresh one that repeats this run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Chooses the next token from `logits`, `[vocabulary]`, which are left changed.
    ///
    /// # Errors
    /// - [`SamplingError::InvalidLogit`]: a logit is NaN or positive infinity, from the model or from a processor;
    /// - [`SamplingError::AllMasked`]: every logit is negative infinity;
    /// - [`SamplingError::BiasOutOfVocabulary`], [`SamplingError::Processor`].
    pub fn sample(
        &mut self,
        logits: &mut [f32],
        context: &TokenContext<'_>,
    ) -> Result<SampledToken, SamplingError> {
        check(logits)?;
        if self.params.logprobs.is_some() {
            self.model_logits.clear();
            self.model_logits.extend_from_slice(logits);
        }
        self.edit(logits, context)?;
        let id = self.choose(logits).ok_or(SamplingError::AllMasked {
            vocabulary: logits.len(),
        })?;
        Ok(self.report(id))
    }

    fn edit(
        &mut self,
        logits: &mut [f32],
        context: &TokenContext<'_>,
    ) -> Result<(), SamplingError> {
        for (index, processor) in self.processors.iter_mut().enumerate() {
            processor
                .process(context, logits)
                .map_err(|source| SamplingError::Processor { index, source })?;
        }
        let too_early = context.generated.len() < self.params.min_tokens;
        if too_early || self.params.ignore_eos {
            edits::ban(logits, &self.end_of_generation);
        }
        if too_early {
            edits::ban(logits, &self.params.stop_token_ids);
        }
        edits::bias(logits, &self.params)?;
        let penalised = edits::penalise(logits, &self.params, context, &mut self.recent);
        if penalised || !self.processors.is_empty() || !self.params.logit_bias.is_empty() {
            check(logits)?;
        }
        Ok(())
    }

    fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let params = &self.params;
        if params.temperature == 0.0 {
            return argmax(logits);
        }
        let mut candidates = Candidates::gather(logits, params.top_k, &mut self.scratch);
        if params.typical_p < 1.0 {
            candidates.keep_typical(params.typical_p);
        }
        if params.top_p < 1.0 {
            candidates.keep_nucleus(params.top_p);
        }
        if params.min_p > 0.0 {
            candidates.keep_relative(params.min_p);
        }
        candidates.draw(params.temperature, self.random.unit())
    }

    fn report(&mut self, id: u32) -> SampledToken {
        let mut sampled = SampledToken {
            id,
            logprob: None,
            top_logprobs: Vec::new(),
        };
        if let Some(count) = self.params.logprobs {
            let logits = &self.model_logits;
            let log_sum = logprobs::log_sum_exp(logits, &mut self.scratch);
            sampled.logprob = Some((f64::from(logits[id as usize]) - log_sum) as f32);
            sampled.top_logprobs = logprobs::top(logits, log_sum, count, &mut self.scratch);
        }
        sampled
    }
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sampler")
            .field("params", &self.params)
            .field("seed", &self.seed)
            .field("processors", &self.processors.len())
            .finish_non_exhaustive()
    }
}

/// Refuses logits that no distribution comes of.
fn check(logits: &[f32]) -> Result<(), SamplingError> {
    // One comparison, false for NaN, and no branch in the loop: it runs at the speed of memory. The search for the place
    // is for the bad case only.
    let valid = |logit: f32| logit < f32::INFINITY;
    if logits.iter().fold(true, |all, &logit| all & valid(logit)) {
        return Ok(());
    }
    let (id, value) = (0..)
        .zip(logits.iter().copied())
        .find(|&(_, logit)| !valid(logit))
        .unwrap_or((0, f32::NAN));
    Err(SamplingError::InvalidLogit { id, value })
}

/// The first of the greatest logits.
fn argmax(logits: &[f32]) -> Option<u32> {
    let first = Kernels::best().vector.argmax(logits)?;
    (logits[first] > f32::NEG_INFINITY).then_some(first as u32)
}
