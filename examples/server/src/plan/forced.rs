//! What the text is held to.

use dino_llm::{Constraint, Grammar};
use serde_json::{Map, Value as Json, json};

use super::GenerateBody;
use super::fields::ResponseFormat;
use crate::error::ApiError;
use crate::state::App;

/// The form that the request asks its answer to have.
pub(crate) fn output_grammar(body: &GenerateBody) -> Result<Option<Grammar>, ApiError> {
    let from_format = match &body.response_format {
        None | Some(ResponseFormat::Text) => None,
        Some(ResponseFormat::JsonObject) => Some(Grammar::JsonObject),
        Some(ResponseFormat::JsonSchema { json_schema }) => {
            let schema = json_schema.schema.clone().unwrap_or_else(|| json!({}));
            Some(Grammar::JsonSchema(schema))
        }
    };
    let mut all = vec![from_format, body.grammar.clone().map(Grammar::Gbnf)];
    if let Some(outputs) = &body.structured_outputs {
        let grammar = outputs.grammar.clone().map(|source| {
            if source.contains("::=") {
                Grammar::Gbnf(source)
            } else {
                Grammar::Lark(source)
            }
        });
        all.extend([
            outputs.json.clone().map(Grammar::JsonSchema),
            (outputs.json_object == Some(true)).then_some(Grammar::JsonObject),
            outputs.regex.clone().map(Grammar::Regex),
            outputs.choice.clone().map(Grammar::Choice),
            grammar,
        ]);
    }
    let mut given = all.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(_), Some(_)) => {
            let message = "the answer can have one form; several are asked for";
            Err(ApiError::bad("response_format", message))
        }
        (grammar, _) => Ok(grammar),
    }
}

/// What holds the answer to a call of one of `tools`, as JSON with `name` and `arguments`.
///
/// Where a tool's schema is beyond the grammars, and it does not insist on being strict, its arguments are any object.
pub(crate) fn forced_call(app: &App, tools: &[&Json]) -> Result<Constraint, ApiError> {
    let compile = |exactly: bool| {
        app.grammars
            .compile(&calls(tools, exactly)?)
            .map_err(|error| ApiError::from(error).param("tools"))
    };
    let is_strict = tools.iter().any(|tool| function(tool)["strict"] == true);
    match compile(true) {
        Err(_) if !is_strict => compile(false),
        compiled => compiled,
    }
}

fn function(tool: &Json) -> &Json {
    tool.get("function").unwrap_or(tool)
}

fn calls(tools: &[&Json], exactly: bool) -> Result<Grammar, ApiError> {
    let mut shared = Map::new();
    let mut kinds = Vec::new();
    for tool in tools {
        let function = function(tool);
        let mut arguments = json!({"type": "object"});
        if let (true, Some(schema)) = (exactly, function.get("parameters")) {
            arguments = schema.clone();
            lift_definitions(&mut arguments, &mut shared)?;
        }
        kinds.push(json!({
            "type": "object",
            "properties": {"name": {"const": function["name"]}, "arguments": arguments},
            "required": ["name", "arguments"],
            "additionalProperties": false,
        }));
    }
    let mut schema = json!({"anyOf": kinds});
    if let Some(fields) = schema.as_object_mut() {
        fields.extend(shared);
    }
    Ok(Grammar::JsonSchema(schema))
}

/// Moves definitions to the root, from where references to them start.
fn lift_definitions(schema: &mut Json, shared: &mut Map<String, Json>) -> Result<(), ApiError> {
    for key in ["$defs", "definitions"] {
        let definitions = schema.as_object_mut().and_then(|schema| schema.remove(key));
        let Some(Json::Object(definitions)) = definitions else {
            continue;
        };
        let all = shared.entry(key).or_insert_with(|| json!({}));
        for (name, definition) in definitions {
            if all.get(&name).is_some_and(|other| *other != definition) {
                let message = format!("two tools define `{name}` differently");
                return Err(ApiError::bad("tools", message));
            }
            all[name] = definition;
        }
    }
    Ok(())
}
