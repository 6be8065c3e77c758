//! What the text is held to.

use dino_llm::{Constraint, Grammar};
use serde_json::{Map, Value as Json, json};

use super::GenerateBody;
use super::fields::ResponseFormat;
use crate::error::ApiError;
use crate::state::App;

/// What holds the answer to the form that the request asks for, if it asks for one.
pub(crate) fn output_constraint(
    app: &App,
    body: &GenerateBody,
) -> Result<Option<Constraint>, ApiError> {
    let mut given = asked(body)
        .into_iter()
        .filter_map(|(field, grammar)| Some((field, grammar?)));
    match (given.next(), given.next()) {
        (Some(_), Some((field, _))) => {
            let message = "the answer can have one form; several are asked for";
            Err(ApiError::bad(field, message))
        }
        (Some((field, grammar)), None) => {
            let compiled = app.grammars.compile(&grammar);
            let refused = |error| ApiError::from(error).param(field);
            compiled.map(Some).map_err(refused)
        }
        (None, _) => Ok(None),
    }
}

/// The fields that ask for a form, and the form.
fn asked(body: &GenerateBody) -> Vec<(&'static str, Option<Grammar>)> {
    let from_format = match &body.response_format {
        None | Some(ResponseFormat::Text) => None,
        Some(ResponseFormat::JsonObject { schema: None }) => Some(Grammar::JsonObject),
        Some(ResponseFormat::JsonObject {
            schema: Some(given),
        }) => Some(schema(given.clone())),
        Some(ResponseFormat::JsonSchema { json_schema }) => {
            let schema = json_schema.schema.clone().unwrap_or_else(|| json!({}));
            Some(Grammar::JsonSchema(schema))
        }
    };
    let mut all = vec![
        ("response_format", from_format),
        ("grammar", body.grammar.clone().map(Grammar::Gbnf)),
        ("guided_json", body.guided_json.clone().map(schema)),
        (
            "guided_regex",
            body.guided_regex.clone().map(Grammar::Regex),
        ),
        (
            "guided_choice",
            body.guided_choice.clone().map(Grammar::Choice),
        ),
        ("guided_grammar", body.guided_grammar.clone().map(grammar)),
    ];
    if let Some(outputs) = &body.structured_outputs {
        let is_object = outputs.json_object == Some(true);
        let forms = [
            outputs.json.clone().map(schema),
            is_object.then_some(Grammar::JsonObject),
            outputs.regex.clone().map(Grammar::Regex),
            outputs.choice.clone().map(Grammar::Choice),
            outputs.grammar.clone().map(grammar),
        ];
        all.extend(forms.map(|form| ("structured_outputs", form)));
    }
    all
}

/// vLLM takes schemas also as text.
fn schema(schema: Json) -> Grammar {
    let parsed = schema
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    Grammar::JsonSchema(parsed.unwrap_or(schema))
}

/// vLLM takes grammars of both kinds under one name.
fn grammar(source: String) -> Grammar {
    match source.contains("::=") {
        true => Grammar::Gbnf(source),
        false => Grammar::Lark(source),
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
