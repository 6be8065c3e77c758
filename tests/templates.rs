//! Chat templates against transformers' `apply_chat_template`, and against templates that mean harm.

use std::time::{Duration, Instant};

use dino_llm::{ChatTemplate, Message, RenderInput, RenderedPrompt, TemplateError};
use serde_json::{Map, Value as Json};

fn render(source: &str) -> Result<RenderedPrompt, TemplateError> {
    ChatTemplate::new(source)?.render(&RenderInput::default())
}

#[test]
fn renders_what_transformers_renders() {
    let text = include_str!("golden/templates.json");
    let golden: Json = serde_json::from_str(text).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let template = ChatTemplate::new(golden["templates"][name].as_str().unwrap()).unwrap();
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let input = RenderInput {
            messages: &messages,
            tools: case["tools"].as_array().map(Vec::as_slice),
            variables: case["variables"].as_object().cloned().unwrap_or_default(),
            ..RenderInput::default()
        };
        let found = template.render(&input);
        match (case["output"].as_str(), case["raised"].as_bool()) {
            (Some(output), _) => assert_eq!(found.as_deref(), Ok(output), "{name}: {case}"),
            (None, Some(true)) => {
                let message = case["error"].as_str().unwrap().to_string();
                assert_eq!(found, Err(TemplateError::Raised { message }), "{name}");
            }
            (None, _) => assert!(
                matches!(found, Err(TemplateError::Render { .. })),
                "{name}: {found:?}"
            ),
        }
    }
    assert!(cases.len() > 30);
}

/// What Jinja 3.1.6 prints for expressions and statements, one of each kind that the engine knows.
#[test]
fn prints_what_jinja_prints() {
    let cases: Vec<[String; 2]> = serde_json::from_str(include_str!("golden/jinja.json")).unwrap();
    let variables: Map<String, Json> =
        serde_json::from_str(include_str!("golden/jinja_variables.json")).unwrap();
    let mut wrong = Vec::new();
    for [source, expected] in &cases {
        let input = RenderInput {
            variables: variables.clone(),
            ..RenderInput::default()
        };
        let found = ChatTemplate::new(source).and_then(|template| template.render(&input));
        let right = match &found {
            Ok(text) => text == expected,
            Err(_) => expected.starts_with("!error"),
        };
        if !right {
            wrong.push(format!(
                "{source}\n  expected {expected:?}\n  found    {found:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    assert!(cases.len() > 100);
}

/// On a small stack, so that any recursion without bound shows.
fn on_small_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(check).unwrap().join().unwrap();
}

#[test]
fn deep_sources_are_errors() {
    on_small_stack(|| {
        for (open, middle, close) in [
            ("(", "1", ")"),
            ("[", "1", "]"),
            ("{1:", "1", "}"),
            ("not ", "1", ""),
            ("-", "1", ""),
            ("", "1", "+1"),
            ("", "a", ".a"),
            ("", "a", "[0]"),
            ("", "a", "()"),
            ("", "a", "|e"),
            ("", "a", " is none"),
            ("", "a", " or a"),
            ("", "a", " and a"),
            ("", "a", "**a"),
            ("", "a", " if a else a"),
            ("a if ", "a", " else a"),
        ] {
            let source = format!(
                "{{{{ {}{middle}{} }}}}",
                open.repeat(20_000),
                close.repeat(20_000)
            );
            let found = render(&source);
            assert!(
                matches!(found, Err(TemplateError::TooDeep { .. })),
                "{open} {close}: {found:?}"
            );
        }
        for open in [
            "{% if a %}",
            "{% for a in b %}",
            "{% with %}",
            "{% set a %}",
            "{% macro a() %}",
            "{% filter e %}",
            "{% generation %}",
        ] {
            let found = render(&open.repeat(10_000));
            assert!(
                matches!(found, Err(TemplateError::TooDeep { .. })),
                "{open}: {found:?}"
            );
        }
        // Long is not deep.
        assert!(
            render(&format!(
                "{{% if a %}}{}{{% endif %}}",
                "{% elif a %}".repeat(10_000)
            ))
            .is_ok()
        );
        assert!(render(&format!("{{{{ 1{} }}}}", "~1".repeat(10_000))).is_ok());
    });
}

#[test]
fn endless_work_is_an_error() {
    let tens = "[1,1,1,1,1,1,1,1,1,1]";
    let laughs: String = std::iter::repeat_n(
        "{% set a = [a,a,a,a,a,a,a,a,a,a] %}{% set b = [b,b,b,b,b,b,b,b,b,b] %}",
        12,
    )
    .collect();
    let laughs = format!("{{% set a = {tens} %}}{{% set b = {tens} %}}{laughs}");
    let grow = |step: &str, start: &str| {
        format!(
            "{{% set ns = namespace(x={start}, y={start}) %}}{{% for i in range(100000) %}}{{% set ns.x = {step} %}}{{% endfor %}}{{{{ ns.x }}}}"
        )
    };
    let sources = [
        "{% for i in range(10**9) %}{% endfor %}".to_string(),
        "{% for i in range(10**5) %}{% for j in range(10**5) %}{{ i }}{% endfor %}{% endfor %}"
            .to_string(),
        "{{ 'a' * 10**12 }}".to_string(),
        "{{ [1] * 10**12 }}".to_string(),
        "{{ [[1] * 1000000] * 1000000 }}".to_string(),
        "{{ '%1000d'|format(1) * 10**9 }}".to_string(),
        "{{ 'x'.center(10**12) }}".to_string(),
        "{{ 'x'|indent(10**12, true) }}".to_string(),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_string(),
        "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('a') }}".to_string(),
        grow("ns.x ~ ns.x", "'ab'"),
        grow("ns.x + ns.x", "'ab'"),
        grow("ns.x + ns.x", "[1]"),
        grow("[ns.x]", "[]"),
        grow("{'a': ns.x}", "{}"),
        grow("[ns.x, ns.x]", "[]"),
        grow("ns.x|map('string')|list + ns.x", "['a']"),
        grow("ns.x.replace('a', 'aa')", "'a'"),
        grow("'a,b'.split(',') + [ns.x|tojson(indent=100)]", "[]"),
        grow("ns", "[]"),
    ];
    let consumers = [
        "{{ a }}",
        "{{ a ~ '' }}",
        "{{ a|string }}",
        "{{ a|tojson }}",
        "{{ a == b }}",
        "{{ a < b }}",
        "{{ a in [b] }}",
        "{{ a|join }}",
        "{{ a|upper }}",
        "{{ '%s' % a }}",
        "{{ '{}'.format(a) }}",
        "{{ [a, b]|sort }}",
        "{{ [a, b]|unique }}",
        "{{ a|pprint }}",
    ];
    let bombs = consumers.map(|consumer| format!("{laughs}{consumer}"));
    for source in sources.into_iter().chain(bombs) {
        let shown: String = source
            .chars()
            .rev()
            .take(90)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        let start = Instant::now();
        on_small_stack(move || {
            let found = render(&source);
            assert!(
                found.is_err(),
                "{source}: {} bytes",
                found.map_or(0, |text| text.len())
            );
        });
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{shown}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn damaged_sources_are_errors_with_their_line() {
    for source in [
        "{{",
        "{%",
        "{#",
        "{{ a",
        "{% if",
        "{% if a %}",
        "{% for %}",
        "{{ }}",
        "{{ 'a }}",
        "{{ a b }}",
        "{{ a[ }}",
        "{{ a[1:2:3:4] }}",
        "{% endif %}",
        "{% else %}",
        "{% raw %}",
        "{% nothing %}",
        "{% break %}",
        "{% set true = 1 %}",
        "{{ a ! b }}",
        "{{ '\\ud800' }}",
        "{{ 99999999999999999999 }}",
        "{% include 'x' %}",
        "{{ f(a=1, 2) }}",
        "{% set %}",
        "{% macro %}",
        "{{ 1 if }}",
    ] {
        let found = ChatTemplate::new(&format!("text\n{source}")).err();
        assert!(
            matches!(found, Some(TemplateError::Syntax { line: 2, .. })),
            "{source}: {found:?}"
        );
    }
    let large = " ".repeat(1 << 20);
    assert!(matches!(
        ChatTemplate::new(&large),
        Err(TemplateError::TooLarge { .. })
    ));
    let late = render("\n\n{% for a in [1] %}\n{{ a.b.c }}{% endfor %}");
    assert!(
        matches!(late, Err(TemplateError::Render { line: 4, .. })),
        "{late:?}"
    );
}

/// The budget leaves room for any honest template, also for one that looks at all messages for each.
#[test]
fn long_conversations_render() {
    let golden: Json = serde_json::from_str(include_str!("golden/templates.json")).unwrap();
    let turns = (0..2000).flat_map(|turn| {
        let text = format!("{turn} {}", "lorem ipsum ".repeat(turn % 50));
        [Message::user(text.clone()), Message::assistant(text)]
    });
    let messages: Vec<Message> = turns.chain([Message::user("And now?")]).collect();
    let quadratic = "{% for m in messages %}{% if loop.index == messages|length and m == messages[-1] and messages|selectattr('role', 'equalto', 'user')|list|first %}{{ m.content }}{% endif %}{% for n in messages[loop.index0:loop.index0 + 1] %}{{ n.role }}{% endfor %}{% endfor %}";
    let templates = golden["templates"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Json::as_str);
    for source in templates
        .chain([quadratic])
        .filter(|source| !source.contains("loop.index0 >= max_messages"))
    {
        let input = RenderInput {
            messages: &messages,
            ..RenderInput::default()
        };
        match ChatTemplate::new(source).unwrap().render(&input) {
            Ok(text) => assert!(!text.is_empty()),
            // Some test templates insist on things that are not given here.
            Err(error) => assert!(
                matches!(error, TemplateError::Render { .. }),
                "{source}: {error}"
            ),
        }
    }
}

/// Truncations and single changed bytes of real templates.
#[test]
fn no_damage_panics() {
    let golden: Json = serde_json::from_str(include_str!("golden/templates.json")).unwrap();
    let messages = [Message::user("Hi"), Message::assistant("Hello")];
    let input = RenderInput {
        messages: &messages,
        ..RenderInput::default()
    };
    for source in golden["templates"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Json::as_str)
    {
        for (at, c) in source.char_indices() {
            let after = &source[at + c.len_utf8()..];
            for damaged in [
                source[..at].to_string(),
                format!("{}{after}", &source[..at]),
                format!("{}}}{after}", &source[..at]),
            ] {
                if let Ok(template) = ChatTemplate::new(&damaged) {
                    let _ = template.render(&input);
                }
            }
        }
    }
}
