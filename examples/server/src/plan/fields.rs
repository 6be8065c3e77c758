//! The fields of `/v1/chat/completions` and `/v1/completions`, and those that vLLM and llama.cpp add to them.
//!
//! Unknown fields are passed over, as everywhere in this API.

use std::collections::BTreeMap;

use dino_llm::{Message, Prompt};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::speculation::SpeculativeConfig;

/// The body of a request for text.
#[derive(Debug, Deserialize)]
pub(crate) struct GenerateBody {
    pub(crate) model: Option<String>,
    pub(crate) messages: Option<Vec<Message>>,
    pub(crate) prompt: Option<PromptField>,
    pub(crate) suffix: Option<String>,
    pub(crate) echo: Option<bool>,

    pub(crate) temperature: Option<f32>,
    pub(crate) top_k: Option<i64>,
    pub(crate) top_p: Option<f32>,
    pub(crate) min_p: Option<f32>,
    pub(crate) typical_p: Option<f32>,
    #[serde(alias = "repeat_penalty")]
    pub(crate) repetition_penalty: Option<f32>,
    pub(crate) repeat_last_n: Option<i64>,
    pub(crate) presence_penalty: Option<f32>,
    pub(crate) frequency_penalty: Option<f32>,
    pub(crate) logit_bias: Option<BTreeMap<String, f32>>,
    pub(crate) seed: Option<i64>,

    pub(crate) max_tokens: Option<usize>,
    pub(crate) max_completion_tokens: Option<usize>,
    pub(crate) min_tokens: Option<usize>,
    pub(crate) stop: Option<OneOrMany>,
    pub(crate) stop_token_ids: Option<Vec<u32>>,
    pub(crate) ignore_eos: Option<bool>,
    pub(crate) n: Option<usize>,

    pub(crate) stream: Option<bool>,
    pub(crate) stream_options: Option<StreamOptions>,
    pub(crate) logprobs: Option<Logprobs>,
    pub(crate) top_logprobs: Option<usize>,

    pub(crate) tools: Option<Vec<Json>>,
    pub(crate) tool_choice: Option<Json>,
    pub(crate) response_format: Option<ResponseFormat>,
    pub(crate) structured_outputs: Option<StructuredOutputs>,
    /// The same under the names of vLLM's earlier versions.
    pub(crate) guided_json: Option<Json>,
    pub(crate) guided_regex: Option<String>,
    pub(crate) guided_choice: Option<Vec<String>>,
    pub(crate) guided_grammar: Option<String>,
    /// GBNF, as llama.cpp takes it.
    pub(crate) grammar: Option<String>,

    pub(crate) speculative_config: Option<SpeculativeConfig>,
    /// As vLLM has it: lower ones are served first.
    pub(crate) priority: Option<i32>,

    /// Fields that would change the answer and are not supported: they may only say nothing.
    pub(crate) best_of: Option<usize>,
    pub(crate) use_beam_search: Option<bool>,
    pub(crate) prompt_logprobs: Option<Json>,
    pub(crate) include_stop_str_in_output: Option<bool>,
    pub(crate) continue_final_message: Option<bool>,
    pub(crate) functions: Option<Json>,
    pub(crate) function_call: Option<Json>,
    pub(crate) modalities: Option<Vec<String>>,

    /// Variables of the chat template, such as `enable_thinking`.
    pub(crate) chat_template_kwargs: Option<Map<String, Json>>,
}

/// One prompt or several, as text or as tokens.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a string, a list of strings, or lists of token ids"
)]
pub(crate) enum PromptField {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

impl PromptField {
    /// All of them, in their order.
    pub(crate) fn prompts(&self) -> Vec<Prompt> {
        match self {
            Self::Text(text) => vec![text.into()],
            Self::Texts(texts) => texts.iter().map(Prompt::from).collect(),
            Self::Tokens(tokens) => vec![tokens.clone().into()],
            Self::TokenLists(lists) => lists.iter().cloned().map(Prompt::from).collect(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamOptions {
    pub(crate) include_usage: Option<bool>,
}

/// A switch for conversations, a number of alternatives for completions.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a boolean or a number")]
pub(crate) enum Logprobs {
    Switch(bool),
    Alternatives(usize),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ResponseFormat {
    Text,
    /// With llama.cpp's schema, if it is there.
    JsonObject {
        schema: Option<Json>,
    },
    JsonSchema {
        json_schema: NamedSchema,
    },
}

#[derive(Debug, Deserialize)]
pub(crate) struct NamedSchema {
    pub(crate) schema: Option<Json>,
}

/// vLLM's `structured_outputs`.
#[derive(Debug, Deserialize)]
pub(crate) struct StructuredOutputs {
    pub(crate) json: Option<Json>,
    pub(crate) json_object: Option<bool>,
    pub(crate) regex: Option<String>,
    pub(crate) choice: Option<Vec<String>>,
    /// Lark or GBNF.
    pub(crate) grammar: Option<String>,
}
