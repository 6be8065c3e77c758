//! What is to be continued.

use dino_models::tokenizer::{EncodeOptions, Tokenizer};

use crate::{RenderedPrompt, Result};

/// What is to be continued: text or tokens. Strings and lists of ids convert to it.
///
/// ```
/// use dino_llm::Prompt;
///
/// let prompts: [Prompt; 3] = ["Once upon a time".into(), vec![1, 2, 3].into(), Prompt::rendered("<|im_start|>user\n…")];
/// # drop(prompts);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Text, to be encoded by the model's tokenizer.
    Text {
        /// The text.
        text: String,
        /// How special tokens are treated.
        options: EncodeOptions,
    },
    /// What a chat template rendered.
    Rendered(RenderedPrompt),
    /// Ids of tokens, taken as they are.
    Tokens(Vec<u32>),
}

impl Prompt {
    /// Plain text: framed as the model wants (most often a token that begins it), and nothing in it is a special token.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            options: EncodeOptions {
                add_special: true,
                parse_special: false,
            },
        }
    }

    /// What a chat template rendered: it frames itself, and names of control tokens stand for them, except in what came
    /// with the conversation. In a plain string they stand for them everywhere.
    pub fn rendered(prompt: impl Into<RenderedPrompt>) -> Self {
        Self::Rendered(prompt.into())
    }

    pub(crate) fn into_tokens(self, tokenizer: &dyn Tokenizer) -> Result<Vec<u32>> {
        match self {
            Self::Text { text, options } => Ok(tokenizer.encode(&text, options)?),
            Self::Rendered(prompt) => {
                let options = EncodeOptions {
                    add_special: false,
                    parse_special: true,
                };
                Ok(tokenizer.encode_with_content(&prompt, prompt.content(), options)?)
            }
            Self::Tokens(tokens) => Ok(tokens),
        }
    }
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&String> for Prompt {
    fn from(text: &String) -> Self {
        Self::text(text)
    }
}

impl From<Vec<u32>> for Prompt {
    fn from(tokens: Vec<u32>) -> Self {
        Self::Tokens(tokens)
    }
}

impl From<&[u32]> for Prompt {
    fn from(tokens: &[u32]) -> Self {
        Self::Tokens(tokens.to_vec())
    }
}
