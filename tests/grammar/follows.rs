//! Any seed gives what the grammar asks for.

use dino_llm::{FinishReason, Grammar};
use serde::de::IgnoredAny;
use serde_json::{Value as Json, json};

use crate::common::{compile, generate, noise, tiny};

const SEEDS: u64 = 25;

/// Texts of `grammar` by both kinds of tiny vocabularies, each checked.
fn check(grammar: &Grammar, check: impl Fn(&str)) {
    for name in ["gqa", "spm"] {
        let model = tiny(name);
        let constraint = compile(&model, grammar);
        for seed in 0..SEEDS {
            let completion = generate(&model, &constraint, "the", &noise(seed));
            assert_eq!(
                completion.finish_reason,
                FinishReason::Stop,
                "{name} {seed}: {}",
                completion.text
            );
            check(&completion.text);
        }
    }
}

#[test]
fn a_schema_is_followed() {
    let grammar = Grammar::JsonSchema(json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 4},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "kind": {"enum": ["cat", "dog", "été"]},
            "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
            "owner": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/person"}]},
        },
        "required": ["name", "age", "kind", "tags", "owner"],
        "additionalProperties": false,
        "$defs": {"person": {
            "type": "object",
            "properties": {"id": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{3}$"}},
            "required": ["id"],
            "additionalProperties": false,
        }},
    }));
    check(&grammar, |text| {
        let json: Json =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["name", "age", "kind", "tags", "owner"], "{text}");
        assert!(
            json["name"].as_str().unwrap().chars().count() <= 4,
            "{text}"
        );
        assert!(json["age"].as_u64().unwrap() <= 120, "{text}");
        assert!(
            ["cat", "dog", "été"].contains(&json["kind"].as_str().unwrap()),
            "{text}"
        );
        let tags = json["tags"].as_array().unwrap();
        assert!(
            (1..=3).contains(&tags.len()) && tags.iter().all(Json::is_boolean),
            "{text}"
        );
        if !json["owner"].is_null() {
            let id = json["owner"]["id"].as_str().unwrap();
            let (letters, digits) = id.split_at(2);
            assert!(
                letters.bytes().all(|byte| byte.is_ascii_uppercase()),
                "{text}"
            );
            assert!(
                digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()),
                "{text}"
            );
        }
    });
}

#[test]
fn choices_and_expressions_are_followed() {
    let choices = ["yes", "no", "it \"depends\"\n", "ça dépend"].map(String::from);
    check(&Grammar::Choice(choices.to_vec()), |text| {
        assert!(choices.iter().any(|choice| choice == text), "{text:?}");
    });
    check(&Grammar::Regex(r"[0-9]{3}-(a|bé|c/d){2}".into()), |text| {
        let (digits, rest) = text.split_once('-').unwrap();
        assert!(
            digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()),
            "{text}"
        );
        let left = rest.replace("c/d", "").replace("bé", "").replace('a', "");
        assert_eq!(left, "", "{text}");
    });
}

#[test]
fn grammars_are_followed() {
    let balanced = |text: &str| {
        let mut depth = 0i32;
        for c in text.chars() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                'x' | ' ' => {}
                _ => panic!("{text}"),
            }
            assert!(depth >= 0, "{text}");
        }
        assert_eq!(depth, 0, "{text}");
        assert!(text.contains('x'), "{text}");
    };
    check(
        &Grammar::Lark("start: group\ngroup: \"(\" group \")\" | \"x\"".into()),
        balanced,
    );
    let gbnf =
        "root ::= sp group sp\ngroup ::= \"(\" sp group sp \")\" | [x] # end\nsp ::= | \" \"";
    check(&Grammar::Gbnf(gbnf.into()), balanced);
}

/// The grammar of JSON that comes with llama.cpp, in its own words.
const LLAMA_CPP_JSON: &str = r#"
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

# Optional space: by convention, applied in this grammar after literal chars when allowed
ws ::= | " " | "\n" [ \t]{0,20}
"#;

#[test]
fn the_json_grammar_of_llama_cpp_gives_json() {
    let model = tiny("gqa");
    let constraint = compile(&model, &Grammar::Gbnf(LLAMA_CPP_JSON.into()));
    let mut finished = 0;
    for seed in 0..SEEDS {
        let completion = generate(
            &model,
            &constraint,
            "the",
            &noise(seed).with_max_tokens(200),
        );
        if completion.finish_reason == FinishReason::Stop {
            finished += 1;
            let json = serde_json::from_str::<IgnoredAny>(&completion.text);
            assert!(json.is_ok(), "{}", completion.text);
        }
    }
    assert!(finished > 5, "{finished}");
}

#[test]
fn json_without_a_schema_is_json() {
    for (grammar, is_object) in [(Grammar::Json, false), (Grammar::JsonObject, true)] {
        let model = tiny("gqa");
        let constraint = compile(&model, &grammar);
        let mut finished = 0;
        for seed in 0..SEEDS {
            let completion = generate(
                &model,
                &constraint,
                "the",
                &noise(seed).with_max_tokens(200),
            );
            if completion.finish_reason == FinishReason::Stop {
                finished += 1;
                // Numbers beyond what a double holds are JSON too, so they are not read.
                let json = serde_json::from_str::<IgnoredAny>(&completion.text);
                assert!(json.is_ok(), "{}", completion.text);
                assert!(
                    !is_object || completion.text.starts_with('{'),
                    "{}",
                    completion.text
                );
            }
        }
        assert!(finished > 5, "{finished}");
    }
}

#[test]
fn stops_and_limits_work_inside_a_grammar() {
    let model = tiny("gqa");
    let constraint = compile(&model, &Grammar::Regex("[ab]{30}".into()));
    let stopped = generate(&model, &constraint, "the", &noise(1).with_stop("ab"));
    assert_eq!(stopped.stop.as_deref(), Some("ab"));
    assert!(
        !stopped.text.contains("ab") && stopped.text.len() < 30,
        "{}",
        stopped.text
    );
    let cut = generate(&model, &constraint, "the", &noise(1).with_max_tokens(5));
    assert_eq!(cut.finish_reason, FinishReason::Length);
    let whole = generate(&model, &constraint, "the", &noise(1));
    assert_eq!(
        (whole.text.len(), whole.finish_reason),
        (30, FinishReason::Stop)
    );
    assert!(
        whole.text.starts_with(&cut.text),
        "{} {}",
        whole.text,
        cut.text
    );
}
