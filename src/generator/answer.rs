//! The text that tokens make.

use dino_models::tokenizer::{SpecialText, TextDecoder, Tokenizer};

use crate::{Result, SamplingParams, StopMatcher};

/// Turns generated tokens into text that may be shown: whole characters, and nothing that may become a stop string.
pub(super) struct Answer {
    decoder: TextDecoder,
    stops: StopMatcher,
}

impl Answer {
    pub(super) fn new(params: &SamplingParams) -> Self {
        let special = if params.skip_special_tokens {
            SpecialText::Omit
        } else {
            SpecialText::Show
        };
        Self {
            decoder: TextDecoder::continuation().special(special),
            stops: StopMatcher::new(&params.stop),
        }
    }

    /// The text that `token` completes.
    pub(super) fn push(&mut self, tokenizer: &dyn Tokenizer, token: u32) -> Result<String> {
        Ok(self.stops.push(self.decoder.push(tokenizer, token)?))
    }

    /// The text that was held back, when no further token comes.
    pub(super) fn finish(&mut self) -> String {
        let mut shown = self.stops.push(self.decoder.finish());
        if self.stops.stopped_at().is_none() {
            shown += &self.stops.finish();
        }
        shown
    }

    /// Which stop string has ended the text, by its place in the list.
    pub(super) fn stopped_at(&self) -> Option<usize> {
        self.stops.stopped_at()
    }
}
