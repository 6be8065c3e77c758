//! The tools that may be called.

use serde_json::Value as Json;

/// The definitions of tools that a model was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Tools(Vec<Json>);

impl Tools {
    pub(super) fn new(definitions: &[Json]) -> Self {
        Self(definitions.to_vec())
    }

    /// Whether there is a tool of this name; if none is known, any name may be one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.find(name).is_some()
    }

    /// Whether the argument `key` of a tool is text by its schema; `None` if the schema does not say.
    pub(super) fn is_text(&self, name: &str, key: &str) -> Option<bool> {
        let property = self
            .find(name)?
            .get("parameters")?
            .get("properties")?
            .get(key)?;
        Some(property.get("type")?.as_str()? == "string")
    }

    fn find(&self, name: &str) -> Option<&Json> {
        let functions = self
            .0
            .iter()
            .map(|tool| tool.get("function").unwrap_or(tool));
        functions
            .into_iter()
            .find(|function| function.get("name").and_then(Json::as_str) == Some(name))
    }
}
