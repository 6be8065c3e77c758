//! Answers taken apart: transcripts in the forms that the model families document, and what templates render, read back.

use dino_llm::{
    ChatTemplate, Message, OutputDelta, OutputFormat, OutputParser, ParsedOutput, ReasoningMarkers,
    RenderInput, ToolCallFormat,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// A format, what the model writes, and its parts: thoughts, content, calls with arguments.
type Transcript = (
    ToolCallFormat,
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Written by hand after the documents of Qwen, Nous Research, Meta, Mistral, IBM, Microsoft and MeetKai.
const TRANSCRIPTS: &[Transcript] = &[
    (
        ToolCallFormat::Hermes,
        "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Zürich\", \"days\": 2}}\n</tool_call>",
        "",
        "",
        &[("get_weather", r#"{"city": "Zürich", "days": 2}"#)],
    ),
    (
        ToolCallFormat::Hermes,
        "<think>\nThey ask for two things.\n\nSo two calls.\n</think>\n\nLet me look.\n<tool_call>\n{\"name\": \"get_time\", \
         \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"arguments\": {\"city\": \"a } \\\" ]\"}, \"name\": \"get_weather\"}\n</tool_call>",
        "They ask for two things.\n\nSo two calls.",
        "Let me look.",
        &[
            ("get_time", "{}"),
            ("get_weather", r#"{"city": "a } \" ]"}"#),
        ],
    ),
    (
        ToolCallFormat::Hermes,
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nBern\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
        "",
        "",
        &[("get_weather", r#"{"city":"Bern","days":3}"#)],
    ),
    (
        ToolCallFormat::Llama3,
        "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Bern\"}}",
        "",
        "",
        &[("get_weather", r#"{"city": "Bern"}"#)],
    ),
    (
        ToolCallFormat::Llama3,
        "<|python_tag|>{\"type\": \"function\", \"name\": \"get_time\", \"parameters\": {}}; {\"name\": \"get_weather\", \"parameters\": {\"city\": \"Bern\"}}",
        "",
        "",
        &[("get_time", "{}"), ("get_weather", r#"{"city": "Bern"}"#)],
    ),
    (
        ToolCallFormat::Llama3,
        "<|python_tag|>brave_search.call(query=\"lions (and \\\"cats\\\")\", count=3)",
        "",
        "",
        &[(
            "brave_search",
            r#"{"query":"lions (and \"cats\")","count":3}"#,
        )],
    ),
    (
        ToolCallFormat::Mistral,
        "[TOOL_CALLS] [{\"name\": \"get_time\", \"arguments\": {}}, {\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bern\"}, \"id\": \"abcdef123\"}]",
        "",
        "",
        &[("get_time", "{}"), ("get_weather", r#"{"city": "Bern"}"#)],
    ),
    (
        ToolCallFormat::Mistral,
        "I look it up.[TOOL_CALLS]get_weather[CALL_ID]abcdef123[ARGS]{\"city\": \"Bern\"}[TOOL_CALLS]get_time[ARGS]{}",
        "",
        "I look it up.",
        &[("get_weather", r#"{"city": "Bern"}"#), ("get_time", "{}")],
    ),
    (
        ToolCallFormat::TaggedList,
        "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bern\"}}]<|/tool_call|>",
        "",
        "",
        &[("get_weather", r#"{"city": "Bern"}"#)],
    ),
    (
        ToolCallFormat::FunctionTag,
        "Let me see.\n<function=get_weather>{\"city\": \"Bern\"}</function><function=get_time>{}</function>",
        "",
        "Let me see.",
        &[("get_weather", r#"{"city": "Bern"}"#), ("get_time", "{}")],
    ),
    (
        ToolCallFormat::Functionary,
        "all\nI look it up.>>>get_weather\n{\"city\": \"Bern\"}>>>get_time\n{}",
        "",
        "I look it up.",
        &[("get_weather", r#"{"city": "Bern"}"#), ("get_time", "{}")],
    ),
    (
        ToolCallFormat::Functionary,
        "get_weather\n{\"city\": \"Bern\"}",
        "",
        "",
        &[("get_weather", r#"{"city": "Bern"}"#)],
    ),
    (
        ToolCallFormat::Json,
        "{\"tool_calls\": [{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"arguments\": \"{\\\"city\\\": \\\"Bern\\\"}\"}}]}",
        "",
        "",
        &[("get_weather", r#"{"city": "Bern"}"#)],
    ),
    // What only looks like a call stays what it is.
    (
        ToolCallFormat::Hermes,
        " Write <tool_call> and </tool_call> around it, 1 < 2 <tool",
        "",
        " Write<tool_call> and </tool_call> around it, 1 < 2 <tool",
        &[],
    ),
    (
        ToolCallFormat::Llama3,
        "{\"name\": \"Ada\", \"parameters\": {\"born\": 1815}}",
        "",
        "{\"name\": \"Ada\", \"parameters\": {\"born\": 1815}}",
        &[],
    ),
    (
        ToolCallFormat::Json,
        "{\"answer\": [1, 2, {}]} is all.\n",
        "",
        "{\"answer\": [1, 2, {}]} is all.\n",
        &[],
    ),
    (ToolCallFormat::Json, "[1, 2]", "", "[1, 2]", &[]),
    (
        ToolCallFormat::Mistral,
        "Half a marker: [TOOL_CAL",
        "",
        "Half a marker: [TOOL_CAL",
        &[],
    ),
    // Cut off in the middle.
    (
        ToolCallFormat::Hermes,
        "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Be",
        "",
        "",
        &[("get_weather", "{\"city\": \"Be")],
    ),
    (
        ToolCallFormat::Hermes,
        "<think>Hm, what if </thin",
        "Hm, what if </thin",
        "",
        &[],
    ),
];

fn tools() -> Vec<Json> {
    let text = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let tool =
        |name: &str| json!({"type": "function", "function": {"name": name, "parameters": text}});
    ["get_weather", "get_time", "brave_search"].map(tool).into()
}

fn parser(format: ToolCallFormat) -> OutputParser {
    OutputParser::new(OutputFormat {
        reasoning: Some(ReasoningMarkers::think()),
        tool_calls: Some(format),
    })
    .tools(&tools())
}

fn calls(parsed: &ParsedOutput) -> Vec<(&str, &str)> {
    let calls = parsed.tool_calls.iter();
    calls
        .map(|call| (call.name.as_str(), call.arguments.as_str()))
        .collect()
}

fn check(parsed: &ParsedOutput, transcript: &Transcript) {
    let (format, text, reasoning, content, expected) = *transcript;
    assert_eq!(calls(parsed), expected, "{format:?}: {text}");
    assert_eq!(parsed.content, content, "{format:?}: {text}");
    assert_eq!(parsed.reasoning, reasoning, "{format:?}: {text}");
}

#[test]
fn transcripts_are_taken_apart() {
    for transcript in TRANSCRIPTS {
        check(&parser(transcript.0).run(transcript.1), transcript);
    }
}

/// Letter by letter; and no delta ever holds back or repeats.
#[test]
fn pieces_do_not_matter() {
    for transcript in TRANSCRIPTS {
        let mut parser = parser(transcript.0);
        let mut parsed = ParsedOutput::default();
        let letters = transcript.1.chars().map(String::from);
        letters
            .flat_map(|letter| parser.push(&letter))
            .for_each(|delta| parsed.push(delta));
        parser
            .finish()
            .into_iter()
            .for_each(|delta| parsed.push(delta));
        check(&parsed, transcript);
    }
}

#[test]
fn arguments_stream_while_they_are_written() {
    let mut parser = parser(ToolCallFormat::Hermes);
    parser.push("<tool_call>{\"name\": \"get_weather\", \"arguments\": ");
    for piece in ["{\"city\"", ": \"Zü", "rich\"}"] {
        let deltas = parser.push(piece);
        let streamed = deltas.iter().filter_map(|delta| match delta {
            OutputDelta::Arguments { index: 0, text } => Some(text.as_str()),
            _ => None,
        });
        assert_eq!(streamed.collect::<String>(), piece);
    }
}

#[test]
fn a_model_that_gives_ids_keeps_them_where_they_come_first() {
    let text = r#"[TOOL_CALLS][{"id": "abcdef123", "name": "get_time", "arguments": {}}]"#;
    assert_eq!(
        parser(ToolCallFormat::Mistral).run(text).tool_calls[0].id,
        "abcdef123"
    );
    let made_up = parser(ToolCallFormat::Mistral).run("[TOOL_CALLS]get_time[ARGS]{}");
    assert_eq!(made_up.tool_calls[0].id.len(), 9);
}

#[test]
fn thoughts_that_the_prompt_began_are_thoughts() {
    let format = OutputFormat {
        reasoning: Some(ReasoningMarkers::think()),
        tool_calls: None,
    };
    let parse = |prompt: &str, text: &str| {
        let parsed = OutputParser::new(format.clone())
            .after_prompt(prompt)
            .run(text);
        (parsed.reasoning, parsed.content)
    };
    let both = ("a <b".to_owned(), "c".to_owned());
    assert_eq!(parse("<｜Assistant｜><think>\n", "a <b</think>\n\nc"), both);
    assert_eq!(
        parse("<think>\n\n</think>\n\n", "c"),
        (String::new(), "c".to_owned())
    );
    assert_eq!(
        parse("", "see <think>"),
        (String::new(), "see <think>".to_owned())
    );
}

fn golden_template(name: &str) -> ChatTemplate {
    let golden: Json = serde_json::from_str(include_str!("golden/templates.json")).unwrap();
    ChatTemplate::new(golden["templates"][name].as_str().unwrap()).unwrap()
}

/// What a template renders for an answer, up to the marker that ends the turn.
fn rendered_answer(template: &ChatTemplate, answer: &Message, end: &str) -> String {
    let render = |messages: &[Message], add_generation_prompt| {
        let tools = tools();
        let input = RenderInput {
            messages,
            tools: Some(&tools),
            add_generation_prompt,
            bos_token: Some("<s>"),
            eos_token: Some("</s>"),
            variables: json!({"today": "x"}).as_object().unwrap().clone(),
            ..RenderInput::default()
        };
        template.render_conversation(&input).unwrap()
    };
    let question = Message::user("Weather?");
    let prompt = render(std::slice::from_ref(&question), true);
    let whole = render(&[question, answer.clone()], false);
    let answer = whole
        .strip_prefix(prompt.as_str())
        .expect("the prompt comes first");
    answer
        .trim_end()
        .strip_suffix(end)
        .unwrap_or(answer)
        .to_owned()
}

/// Render with the family's template, parse with the format that is told from it, get the same back.
#[test]
fn what_templates_render_is_read_back() {
    let one = [("get_weather", r#"{"city":"Zürich \"x\" {","days":2}"#)];
    let two = [one[0], ("get_time", "{}")];
    for (name, format, end, expected) in [
        ("qwen_tools", ToolCallFormat::Hermes, "<|im_end|>", &two[..]),
        (
            "llama3_tools",
            ToolCallFormat::Llama3,
            "<|eot_id|>",
            &one[..],
        ),
        ("mistral_tools", ToolCallFormat::Mistral, "</s>", &two[..]),
        (
            "default_model",
            ToolCallFormat::Hermes,
            "<|im_end|>",
            &two[..],
        ),
    ] {
        let template = golden_template(name);
        assert_eq!(template.output_format().tool_calls, Some(format), "{name}");
        let call = |(tool, arguments): &(&str, &str)| json!({"id": "abcdef123", "type": "function", "function": {"name": tool, "arguments": arguments}});
        let mut answer = Message::assistant("");
        answer.tool_calls = Some(expected.iter().map(call).collect());
        if name == "qwen_tools" {
            answer.reasoning = Some("Two\n\nthings.".into());
        }
        let text = rendered_answer(&template, &answer, end);
        let parsed = OutputParser::new(template.output_format())
            .tools(&tools())
            .run(&text);
        let compact = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        let found: Vec<_> = calls(&parsed)
            .into_iter()
            .map(|(name, arguments)| (name, compact(arguments)))
            .collect();
        let wanted: Vec<_> = expected
            .iter()
            .map(|(name, arguments)| (*name, compact(arguments)))
            .collect();
        assert_eq!(found, wanted, "{name}: {text}");
        assert_eq!(parsed.content, "", "{name}: {text}");
        assert_eq!(
            parsed.reasoning,
            answer.reasoning.unwrap_or_default(),
            "{name}: {text}"
        );
    }
}

/// The prompt of a template that knows no tools shows them anyway, and results of calls too.
#[test]
fn a_template_without_tools_gets_them_in_words() {
    let template = golden_template("default_model");
    let mut call = Message::assistant("");
    call.tool_calls = Some(vec![
        json!({"function": {"name": "get_time", "arguments": "{}"}}),
    ]);
    let messages = [
        Message::system("Be brief."),
        Message::user("Time?"),
        call,
        Message::tool("1", "get_time", "12:00"),
    ];
    let tools = tools();
    let prompt = template
        .render_conversation(&RenderInput {
            messages: &messages,
            tools: Some(&tools),
            ..RenderInput::default()
        })
        .unwrap();
    for part in [
        "<|im_start|>system\nBe brief.\n\n# Tools",
        "\"brave_search\"",
        "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call><|im_end|>",
        "<|im_start|>user\n<tool_response>\n12:00\n</tool_response><|im_end|>",
    ] {
        assert!(prompt.contains(part), "{part} in {prompt}");
    }
}

#[test]
fn a_template_that_refuses_instructions_gets_them_in_the_question() {
    let template = golden_template("gemma");
    let tools = tools();
    let messages = [Message::user("Time?")];
    let input = RenderInput {
        messages: &messages,
        tools: Some(&tools),
        bos_token: Some("<bos>"),
        ..RenderInput::default()
    };
    let prompt = template.render_conversation(&input).unwrap();
    let (described, question) = (
        prompt.find("# Tools").unwrap(),
        prompt.find("Time?").unwrap(),
    );
    assert!(described < question, "{prompt}");
}

fn formats() -> impl Strategy<Value = ToolCallFormat> {
    prop::sample::select(vec![
        ToolCallFormat::Hermes,
        ToolCallFormat::Llama3,
        ToolCallFormat::Mistral,
        ToolCallFormat::TaggedList,
        ToolCallFormat::FunctionTag,
        ToolCallFormat::Functionary,
        ToolCallFormat::Json,
    ])
}

/// Pieces of markers, JSON and text, so that random joins come near to calls.
fn fragments() -> impl Strategy<Value = Vec<&'static str>> {
    let fragments = vec![
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<|python_tag|>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "<function=",
        "</function>",
        "<parameter=a>",
        "</parameter>",
        ">>>",
        "all\n",
        "get_time",
        "\n",
        " ",
        "{\"name\": \"get_time\"",
        ", \"arguments\": {\"a\": 1}",
        ", \"arguments\": ",
        "\"arguments\"",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        "\\u12",
        ":",
        ",",
        "é",
        "<",
        "null",
        "7",
        "call(",
        "a=1",
        ")",
        ";",
        "<|tool_call|>",
    ];
    prop::collection::vec(prop::sample::select(fragments), 0..14)
}

proptest! {
    #[test]
    fn any_text_in_any_pieces_gives_the_same(format in formats(), fragments in fragments(), cut in 1usize..6) {
        let text = fragments.concat();
        let whole = parser(format).run(&text);
        let mut parser = parser(format);
        let mut parsed = ParsedOutput::default();
        let letters: Vec<char> = text.chars().collect();
        for piece in letters.chunks(cut) {
            let piece: String = piece.iter().collect();
            parser.push(&piece).into_iter().for_each(|delta| parsed.push(delta));
        }
        parser.finish().into_iter().for_each(|delta| parsed.push(delta));
        prop_assert_eq!(calls(&parsed), calls(&whole));
        prop_assert_eq!(&parsed.content, &whole.content);
        prop_assert_eq!(&parsed.reasoning, &whole.reasoning);
        // Nothing but white space and markers is lost while no call and no thought was found.
        if whole.tool_calls.is_empty() && whole.reasoning.is_empty() && !text.contains("think>") && format != ToolCallFormat::Functionary {
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(letters(&whole.content), letters(&text));
        }
    }
}
