//! A chat template, rendered for a short conversation with a tool.
#![no_main]

use dino_llm::{ChatTemplate, Message, RenderInput};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TOOLS: LazyLock<Vec<serde_json::Value>> = LazyLock::new(|| {
    let parameters = serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let function = serde_json::json!({"name": "weather", "parameters": parameters});
    vec![serde_json::json!({"type": "function", "function": function})]
});

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source) else {
        return;
    };
    let messages = [
        Message::system("Be brief."),
        Message::user("How is the weather?\n"),
        Message::assistant("  Fine. "),
    ];
    let input = RenderInput {
        messages: &messages,
        tools: Some(&TOOLS),
        add_generation_prompt: true,
        bos_token: Some("<s>"),
        eos_token: Some("</s>"),
        ..RenderInput::default()
    };
    let _ = template.render(&input);
});
