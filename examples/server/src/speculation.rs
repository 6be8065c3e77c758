//! Guessing ahead: what the server does of itself, and what requests may ask for.

use dino_llm::{Model, Speculation};
use serde::Deserialize;

use crate::error::ApiError;
use crate::options::Options;

/// The ways to guess that there are.
pub(crate) struct Speculations {
    draft: Option<Model>,
    default: Option<Speculation>,
}

/// The field `speculative_config` of a request, with vLLM's names.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct SpeculativeConfig {
    method: Method,
    num_speculative_tokens: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    None,
    Ngram,
    #[serde(alias = "draft")]
    DraftModel,
}

/// Tokens of one guess that a request may ask for.
const MOST_TOKENS: usize = 64;

impl Speculations {
    /// Loads the draft model, if there is one.
    ///
    /// # Errors
    /// If it cannot be loaded, or its vocabulary is not the model's.
    pub(crate) fn load(
        model: &Model,
        options: &Options,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let draft = match &options.draft {
            Some(file) => Some(Model::builder().threads(options.threads).load(file)?),
            None => None,
        };
        if let Some(draft) = &draft {
            let [found, expected] = [draft, model].map(|model| model.tokenizer().vocab_size());
            if found != expected {
                let message = format!(
                    "the draft model's vocabulary has {found} tokens, the model's has {expected}: it has to be the same one"
                );
                return Err(message.into());
            }
        }
        let ngram = options
            .speculate_ngram
            .map(|tokens| Speculation::prompt_lookup().max_tokens(tokens));
        Ok(Self {
            default: draft.as_ref().map(Speculation::draft).or(ngram),
            draft,
        })
    }

    /// How to guess for a request.
    ///
    /// # Errors
    /// If it asks for a draft model that is not there, or for too many tokens.
    pub(crate) fn choose(
        &self,
        asked: Option<SpeculativeConfig>,
    ) -> Result<Option<Speculation>, ApiError> {
        let Some(asked) = asked else {
            return Ok(self.default.clone());
        };
        let speculation = match (asked.method, &self.draft) {
            (Method::None, _) => return Ok(None),
            (Method::Ngram, _) => Speculation::prompt_lookup(),
            (Method::DraftModel, Some(draft)) => Speculation::draft(draft),
            (Method::DraftModel, None) => {
                let message = "the server has no draft model; it is started with --draft";
                return Err(ApiError::bad("speculative_config.method", message));
            }
        };
        match asked.num_speculative_tokens {
            None => Ok(Some(speculation)),
            Some(tokens @ 1..=MOST_TOKENS) => Ok(Some(speculation.max_tokens(tokens))),
            Some(_) => {
                let message = format!("1 to {MOST_TOKENS} tokens are guessed at once");
                let field = "speculative_config.num_speculative_tokens";
                Err(ApiError::bad(field, message))
            }
        }
    }
}
