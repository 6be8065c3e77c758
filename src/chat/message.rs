//! One turn of a conversation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool that the model called.
    Tool,
    /// A role that some model's template knows by this name.
    Other(String),
}

impl Role {
    /// The name that templates compare with.
    pub fn as_str(&self) -> &str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Other(name) => name,
        }
    }
}

impl From<String> for Role {
    fn from(name: String) -> Self {
        match name.as_str() {
            "system" => Self::System,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            _ => Self::Other(name),
        }
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.as_str().to_string()
    }
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Text.
    Text(String),
    /// Parts, as multimodal templates take them: `{"type": "text", "text": "…"}` and others.
    Parts(Vec<Json>),
    /// JSON's `null`, as where a message has tool calls alone.
    Null,
}

/// One turn of a conversation, in the shape that chat templates and the common chat APIs share.
///
/// Fields that it does not name pass through [`extra`](Self::extra) to the template unchanged.
///
/// ```
/// use dino_llm::Message;
///
/// let message: Message = serde_json::from_str(r#"{"role": "user", "content": "Hello", "lang": "en"}"#)?;
/// assert_eq!(message.text(), "Hello");
/// assert_eq!(message.extra["lang"], "en");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; `None` leaves the field out, which templates can tell from `null`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub content: Option<Content>,
    /// The speaker's or the tool's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the model thought before it answered; templates see it as `reasoning_content` and as `thinking`.
    #[serde(
        default,
        rename = "reasoning_content",
        alias = "thinking",
        alias = "reasoning",
        skip_serializing_if = "Option::is_none"
    )]
    pub reasoning: Option<String>,
    /// Calls of tools that the model makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<Json>>,
    /// The call that this message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Any other fields.
    #[serde(flatten)]
    pub extra: Map<String, Json>,
}

impl Message {
    /// A message of text.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            content: Some(Content::Text(text.into())),
            name: None,
            reasoning: None,
            tool_calls: None,
            tool_call_id: None,
            extra: Map::new(),
        }
    }

    /// Instructions to the model.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, text)
    }

    /// What the person says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, text)
    }

    /// What a tool answers to the call `id`.
    pub fn tool(id: impl Into<String>, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            tool_call_id: Some(id.into()),
            ..Self::new(Role::Tool, text)
        }
    }

    /// What the model said.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, text)
    }

    /// The text of the content: its text parts joined, or nothing.
    pub fn text(&self) -> String {
        match &self.content {
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts
                .iter()
                .filter_map(|part| part.get("text")?.as_str())
                .collect(),
            Some(Content::Null) | None => String::new(),
        }
    }

    /// The message as a template sees it.
    pub(super) fn to_json(&self) -> Json {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let (Some(reasoning), Some(fields)) = (&self.reasoning, json.as_object_mut()) {
            fields
                .entry("thinking")
                .or_insert_with(|| reasoning.clone().into());
        }
        json
    }
}

/// Reads a field that is there, so that `null` differs from nothing.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Content>, D::Error> {
    Content::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_passes_through() {
        for text in [
            r#"{"role":"user","content":"hi"}"#,
            r#"{"role":"developer","content":[{"type":"text","text":"a"},{"type":"image"}]}"#,
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1"}],"weight":1.5}"#,
            r#"{"role":"assistant","tool_calls":[]}"#,
            r#"{"role":"tool","content":"21","name":"t","tool_call_id":"1"}"#,
        ] {
            let message: Message = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&message).unwrap(), text);
        }
    }

    #[test]
    fn reasoning_has_all_its_names() {
        let message: Message =
            serde_json::from_str(r#"{"role":"assistant","content":"a","reasoning":"b"}"#).unwrap();
        assert_eq!(message.reasoning.as_deref(), Some("b"));
        let json = message.to_json();
        assert_eq!(
            (&json["thinking"], &json["reasoning_content"]),
            (&"b".into(), &"b".into())
        );
    }
}
