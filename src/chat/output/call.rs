//! A call of a tool.

use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// A call of a tool, as a model makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// What the result of the call refers to.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// Its arguments, as the model wrote them: a JSON object, if the model made no mistake and was not cut off.
    pub arguments: String,
}

impl ToolCall {
    /// The call as messages and templates have it: `{"id", "type": "function", "function": {"name", "arguments"}}`, with
    /// the arguments as an object where they are one.
    pub fn to_json(&self) -> Json {
        let arguments = serde_json::from_str::<Json>(&self.arguments)
            .ok()
            .filter(Json::is_object)
            .unwrap_or_else(|| self.arguments.clone().into());
        json!({
            "id": self.id,
            "type": "function",
            "function": { "name": self.name, "arguments": arguments },
        })
    }
}

/// A fresh id: nine letters and digits, which is what Mistral's templates insist on.
pub(super) fn fresh_id() -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bits = RandomState::new().hash_one(0);
    let mut letter = || {
        let letter = LETTERS[(bits % 62) as usize];
        bits /= 62;
        char::from(letter)
    };
    (0..9).map(|_| letter()).collect()
}
