//! What output is wanted.

use llguidance::api::TopLevelGrammar;
use serde_json::{Value as Json, json};

use super::limits::{self, MOST_BYTES, MOST_GRAMMAR, MOST_REGEX};
use super::{GrammarError, gbnf};

/// The form that a text is to have.
///
/// ```
/// use dino_llm::Grammar;
///
/// let person = Grammar::JsonSchema(serde_json::json!({
///     "type": "object",
///     "properties": { "name": { "type": "string" }, "age": { "type": "integer" } },
///     "required": ["name", "age"],
/// }));
/// let verdict = Grammar::Choice(vec!["yes".into(), "no".into()]);
/// # drop((person, verdict));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Grammar {
    /// Any JSON value.
    Json,
    /// Any JSON object.
    JsonObject,
    /// JSON that a schema describes. Keys come in the schema's order; `oneOf` is taken as `anyOf`; what else is not
    /// supported is an error.
    JsonSchema(Json),
    /// Text that matches a regular expression as a whole, in the syntax of the `regex` crate.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A context-free grammar in the Lark syntax of `llguidance`; its first rule is `start`.
    Lark(String),
    /// A context-free grammar in the GBNF of llama.cpp; its first rule is `root`.
    Gbnf(String),
}

/// At most this much white space between the parts of JSON, as llama.cpp allows. A small model may otherwise go on with
/// spaces for ever.
const WHITE_SPACE: &str = r" |\n[ \t]{0,20}";

impl Grammar {
    /// The name of the kind, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Json | Self::JsonObject => "JSON grammar",
            Self::JsonSchema(_) => "JSON schema",
            Self::Regex(_) => "regular expression",
            Self::Choice(_) => "list of choices",
            Self::Lark(_) => "Lark grammar",
            Self::Gbnf(_) => "GBNF grammar",
        }
    }

    /// Refuses what is too large or too deep, and brings the rest into the form of the grammars' engine.
    pub(super) fn lower(&self) -> Result<TopLevelGrammar, GrammarError> {
        let kind = self.kind();
        let checked = |text: &str, limit| limits::check_text(kind, text, limit);
        Ok(match self {
            Self::Json => schema(json!({})),
            Self::JsonObject => schema(json!({"type": "object"})),
            Self::JsonSchema(json) => {
                limits::check_json(kind, json)?;
                schema(json.clone())
            }
            Self::Regex(regex) => {
                checked(regex, MOST_REGEX)?;
                TopLevelGrammar::from_regex(regex)
            }
            Self::Choice(choices) => choice(choices)?,
            Self::Lark(lark) => {
                checked(lark, MOST_GRAMMAR)?;
                TopLevelGrammar::from_lark(lark.clone())
            }
            Self::Gbnf(source) => {
                checked(source, MOST_GRAMMAR)?;
                TopLevelGrammar::from_lark(gbnf::to_lark(source)?)
            }
        })
    }
}

fn schema(mut json: Json) -> TopLevelGrammar {
    if let Some(fields) = json.as_object_mut() {
        fields
            .entry("x-guidance")
            .or_insert_with(|| json!({"whitespace_pattern": WHITE_SPACE, "coerce_one_of": true}));
    }
    TopLevelGrammar::from_json_schema(json)
}

fn choice(choices: &[String]) -> Result<TopLevelGrammar, GrammarError> {
    if choices.is_empty() {
        return Err(GrammarError::NoChoices);
    }
    let bytes = choices.iter().map(|choice| choice.len() + 4).sum();
    limits::check_size("list of choices", bytes, MOST_BYTES)?;
    let quoted: Vec<String> = choices.iter().map(|text| json!(text).to_string()).collect();
    let lark = format!("start: {}", quoted.join(" | "));
    Ok(TopLevelGrammar::from_lark(lark))
}
