//! One answer in a conversation.

use std::sync::Arc;

use dino_llm::{FinishReason, Model, OutputDelta, OutputParser, ParsedOutput, Token, Tokenizer};
use serde_json::{Value as Json, json};

use super::answer::{Dialect, finish_name};
use super::choices::End;
use super::logprobs::chat_entry;

/// The answers of `/v1/chat/completions`.
pub(super) struct Chat {
    model: Model,
    has_logprobs: bool,
    choices: Vec<ChatChoice>,
}

struct ChatChoice {
    parser: OutputParser,
    parsed: ParsedOutput,
    logprobs: Vec<Json>,
    /// How many of them have been sent.
    sent: usize,
    finish_reason: &'static str,
}

impl Chat {
    /// Answers that `parser` makes parsers for.
    pub(super) fn new(
        model: &Model,
        count: usize,
        has_logprobs: bool,
        parser: impl Fn() -> OutputParser,
    ) -> Self {
        let choice = |_| ChatChoice {
            parser: parser(),
            parsed: ParsedOutput::default(),
            logprobs: Vec::new(),
            sent: 0,
            finish_reason: finish_name(FinishReason::Length),
        };
        Self {
            model: model.clone(),
            has_logprobs,
            choices: (0..count).map(choice).collect(),
        }
    }

    /// Entries of chunks for `deltas`; log probabilities not sent yet go with the first.
    fn pieces(&mut self, index: usize, deltas: Vec<OutputDelta>) -> Vec<Json> {
        let has_logprobs = self.has_logprobs;
        let choice = &mut self.choices[index];
        let mut pieces = Vec::with_capacity(deltas.len());
        for delta in deltas {
            let mut piece = json!({"index": index, "delta": delta_json(&delta)});
            choice.parsed.push(delta);
            piece["logprobs"] = choice.unsent(has_logprobs);
            piece["finish_reason"] = Json::Null;
            pieces.push(piece);
        }
        pieces
    }
}

impl ChatChoice {
    fn unsent(&mut self, has_logprobs: bool) -> Json {
        if !has_logprobs {
            return Json::Null;
        }
        let unsent = self.logprobs[self.sent..].to_vec();
        self.sent = self.logprobs.len();
        json!({"content": unsent, "refusal": null})
    }
}

impl Dialect for Chat {
    const NAMES: (&'static str, &'static str, &'static str) =
        ("chatcmpl", "chat.completion", "chat.completion.chunk");

    fn begin(&mut self, index: usize) -> Vec<Json> {
        let delta = json!({"role": "assistant", "content": ""});
        vec![json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": null})]
    }

    fn token(&mut self, index: usize, token: Token) -> Vec<Json> {
        let is_end = self.model.end_of_generation().contains(&token.id);
        if self.has_logprobs && !is_end {
            let tokenizer: &Arc<dyn Tokenizer> = self.model.tokenizer();
            let entry = chat_entry(&**tokenizer, &token);
            self.choices[index].logprobs.push(entry);
        }
        let deltas = self.choices[index].parser.push(&token.text);
        self.pieces(index, deltas)
    }

    fn end(&mut self, index: usize, end: &End) -> Vec<Json> {
        let deltas = self.choices[index].parser.finish();
        let mut pieces = self.pieces(index, deltas);
        let choice = &mut self.choices[index];
        let is_call = end.finish_reason == FinishReason::Stop && choice.parser.calls() > 0;
        choice.finish_reason = if is_call {
            "tool_calls"
        } else {
            finish_name(end.finish_reason)
        };
        let mut piece = json!({"index": index, "delta": {}});
        piece["logprobs"] = choice.unsent(self.has_logprobs);
        piece["finish_reason"] = choice.finish_reason.into();
        pieces.push(piece);
        pieces
    }

    fn whole(self) -> Vec<Json> {
        let has_logprobs = self.has_logprobs;
        let choices = self.choices.into_iter().enumerate();
        choices
            .map(|(index, mut choice)| {
                choice.sent = 0;
                let logprobs = choice.unsent(has_logprobs);
                json!({
                    "index": index,
                    "message": message(&choice.parsed),
                    "logprobs": logprobs,
                    "finish_reason": choice.finish_reason,
                })
            })
            .collect()
    }
}

fn delta_json(delta: &OutputDelta) -> Json {
    match delta {
        OutputDelta::Reasoning(text) => json!({"reasoning_content": text}),
        OutputDelta::Content(text) => json!({"content": text}),
        OutputDelta::ToolCall { index, id, name } => {
            let function = json!({"name": name, "arguments": ""});
            json!({"tool_calls": [
                {"index": index, "id": id, "type": "function", "function": function},
            ]})
        }
        OutputDelta::Arguments { index, text } => {
            json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
        }
        // The enum may grow.
        _ => json!({}),
    }
}

fn message(parsed: &ParsedOutput) -> Json {
    let calls = parsed.tool_calls.iter().map(|call| {
        let function = json!({"name": call.name, "arguments": call.arguments});
        json!({"id": call.id, "type": "function", "function": function})
    });
    let mut message = json!({"role": "assistant", "content": parsed.content, "refusal": null});
    if !parsed.tool_calls.is_empty() {
        if parsed.content.is_empty() {
            message["content"] = Json::Null;
        }
        message["tool_calls"] = calls.collect();
    }
    if !parsed.reasoning.is_empty() {
        message["reasoning_content"] = parsed.reasoning.as_str().into();
    }
    message
}
