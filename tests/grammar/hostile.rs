//! Grammars that mean harm: typed errors, bounded time, small stacks.

use std::time::{Duration, Instant};

use dino_llm::{Error, Grammar, GrammarCompiler, GrammarError, LogitsProcessor, TokenContext};
use serde_json::{Value as Json, json};

use crate::common::tiny;

fn nested(depth: usize) -> Json {
    let mut schema = json!({"type": "string"});
    for _ in 0..depth {
        schema = json!({"type": "array", "items": schema});
    }
    schema
}

fn deep_json(depth: usize) -> Json {
    (0..depth).fold(json!([]), |inner, _| Json::Array(vec![inner]))
}

#[test]
fn what_is_wrong_is_named() {
    let model = tiny("gqa");
    let grammars = GrammarCompiler::new(&model).unwrap();
    type Check = fn(&GrammarError) -> bool;
    let too_deep: Check = |error| matches!(error, GrammarError::TooDeep { .. });
    let too_large: Check = |error| matches!(error, GrammarError::TooLarge { .. });
    let invalid: Check = |error| matches!(error, GrammarError::Invalid { .. });
    let cases = [
        (Grammar::JsonSchema(nested(100)), too_deep),
        (Grammar::JsonSchema(deep_json(10_000)), too_deep),
        (Grammar::Regex("(".repeat(100)), too_deep),
        (Grammar::Regex("a".repeat(1 << 20)), too_large),
        (
            Grammar::JsonSchema(json!({"const": "a".repeat(1 << 20)})),
            too_large,
        ),
        (Grammar::Choice(vec!["a".repeat(1 << 20)]), too_large),
        (Grammar::Choice(vec![]), |error| {
            *error == GrammarError::NoChoices
        }),
        (Grammar::Regex("(a".into()), invalid),
        (Grammar::Regex("a**{".into()), invalid),
        (Grammar::Lark("start: missing".into()), invalid),
        (Grammar::Lark("no start".into()), invalid),
        (Grammar::Lark("".into()), invalid),
        (Grammar::Gbnf("root ::= x".into()), |error| {
            matches!(error, GrammarError::Gbnf { line: 1, .. })
        }),
        (Grammar::JsonSchema(json!({"type": "nothing"})), invalid),
        (Grammar::JsonSchema(json!({"$ref": "#/nowhere"})), invalid),
        (
            Grammar::JsonSchema(json!({"$ref": "http://example.com/schema"})),
            invalid,
        ),
        (Grammar::JsonSchema(json!(false)), invalid),
    ];
    for (grammar, check) in cases {
        let shown: String = format!("{grammar:?}").chars().take(80).collect();
        match grammars.compile(&grammar) {
            Err(Error::Grammar(error)) => assert!(check(&error), "{shown}: {error}"),
            other => panic!("{shown}: {other:?}"),
        }
    }
}

/// Compiles and takes masks along some text; whatever comes of it, it comes soon.
fn run(grammars: &GrammarCompiler, model: &dino_llm::Model, grammar: &Grammar) -> Option<Error> {
    let mut constraint = match grammars.compile(grammar) {
        Ok(constraint) => constraint,
        Err(error) => return Some(error),
    };
    let mut generated = Vec::new();
    for _ in 0..40 {
        let mut logits = vec![0.0; model.tokenizer().vocab_size()];
        let context = TokenContext {
            prompt: &[],
            generated: &generated,
        };
        if constraint.process(&context, &mut logits).is_err() {
            return None;
        }
        let allowed = |id: &u32| logits[*id as usize] == 0.0;
        let ends = model.end_of_generation();
        let next = (0..logits.len() as u32).find(|id| allowed(id) && !ends.contains(id));
        generated.push(next?);
    }
    None
}

#[test]
fn heavy_grammars_take_bounded_time_and_stack() {
    let chain = |count: usize, first: &str, step: fn(usize) -> String| {
        let rules: String = (0..count).map(step).collect();
        format!("start: {first}\n{rules}")
    };
    let definitions = |count: usize, body: fn(usize) -> Json| {
        let all: serde_json::Map<_, _> = (0..count).map(|n| (format!("d{n}"), body(n))).collect();
        json!({"$defs": all, "$ref": "#/$defs/d0"})
    };
    let enumeration: Vec<String> = (0..8000)
        .map(|n| format!("value-{n}-{}", n * 7919))
        .collect();
    let grammars = [
        Grammar::Regex("((a{1,1000}){1,1000}){1,1000}".into()),
        Grammar::Regex(r"(\w{1,500}\s{1,500}){1,500}".into()),
        Grammar::Regex("(a|b)*a(a|b){60}".into()),
        Grammar::Regex("(.*a){50}".into()),
        Grammar::Regex(format!("({}x)", "a?".repeat(8000))),
        Grammar::Regex(format!("{}{}", "a?".repeat(5000), "a".repeat(5000))),
        Grammar::Lark("start: a\na: a a | \"x\" | ".into()),
        Grammar::Lark("start: a*\na: b*\nb: c*\nc: \"x\"*".into()),
        Grammar::Lark("start: a{10000}\na: b{10000}\nb: \"x\"{10000}".into()),
        Grammar::Lark(
            chain(2500, "a0", |n| format!("a{n}: \"x\" a{}\n", n + 1)) + "a2500: \"y\"\n",
        ),
        Grammar::Lark(
            chain(2500, "A0", |n| format!("A{n}: \"x\" A{}\n", n + 1)) + "A2500: \"y\"\n",
        ),
        Grammar::Lark(
            chain(2500, "A0", |n| {
                format!("A{n}: A{} | \"z\" A{}\n", n + 1, n + 1)
            }) + "A2500: \"y\"\n",
        ),
        Grammar::Lark(
            chain(40, "A0", |n| format!("A{n}: A{} A{}\n", n + 1, n + 1)) + "A40: \"y\"\n",
        ),
        Grammar::Lark("start: A\nA: A \"x\"".into()),
        Grammar::Gbnf("root ::= root root | \"x\"".into()),
        Grammar::Gbnf("root ::= (\"x\"{0,60000}){0,60000}".into()),
        Grammar::JsonSchema(definitions(
            3000,
            |n| json!({"$ref": format!("#/$defs/d{}", (n + 1) % 3000)}),
        )),
        Grammar::JsonSchema(definitions(
            2000,
            |n| json!({"allOf": [{"$ref": format!("#/$defs/d{}", (n + 1).min(1999))}, {"type": "object"}]}),
        )),
        Grammar::JsonSchema(definitions(
            30,
            |n| json!({"allOf": [{"$ref": format!("#/$defs/d{}", n + 1)}, {"$ref": format!("#/$defs/d{}", n + 1)}]}),
        )),
        Grammar::JsonSchema(definitions(12, |n| {
            let next = json!({"$ref": format!("#/$defs/d{}", (n + 1) % 12)});
            json!({"anyOf": [next, next, {"oneOf": [next, next]}, {"type": "string"}]})
        })),
        Grammar::JsonSchema(json!({"enum": enumeration})),
        Grammar::JsonSchema(json!({"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"})),
        Grammar::JsonSchema(json!({"type": "string", "minLength": 100_000, "maxLength": 200_000})),
        Grammar::JsonSchema(json!({"type": "array", "minItems": 1_000_000})),
        Grammar::JsonSchema(json!({"type": "integer", "minimum": -1e300, "maximum": 1e300})),
        Grammar::JsonSchema(json!({"type": "number", "multipleOf": 1e-9})),
        Grammar::JsonSchema(nested(60)),
    ];
    let model = tiny("gqa");
    let compiler = GrammarCompiler::new(&model).unwrap();
    for grammar in grammars {
        let shown: String = format!("{grammar:?}").chars().take(100).collect();
        let started = Instant::now();
        let (compiler, model) = (compiler.clone(), model.clone());
        // Masks are taken on the engine's thread, whose stack has 2 MiB.
        let worker = std::thread::Builder::new().stack_size(2 << 20);
        let error = worker
            .spawn(move || run(&compiler, &model, &grammar))
            .unwrap()
            .join()
            .unwrap();
        let spent = started.elapsed();
        let outcome = error.map_or("followed".into(), |error| error.to_string());
        println!(
            "{spent:?} {shown}: {}",
            outcome.chars().take(160).collect::<String>()
        );
        assert!(spent < Duration::from_secs(10), "{shown}: {spent:?}");
    }
}
