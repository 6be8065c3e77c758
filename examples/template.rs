//! The prompt that a chat template makes of a conversation.
//!
//! ```sh
//! cargo run --release --example template -- --model model.gguf --messages conversation.json --add-generation-prompt
//! cargo run --release --example template -- --template chat.jinja --messages conversation.json --kwargs '{"enable_thinking": false}'
//! ```

#[path = "shared/model_path.rs"]
mod model_path;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use dino_llm::dino_models::Registry;
use dino_llm::dino_models::format::{FormatError, Metadata, StringArray};
use dino_llm::{ChatTemplate, Message, RenderInput};
use model_path::model_path;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Prints the prompt that a chat template makes of a conversation, to the byte.
#[derive(Debug, Parser)]
struct Arguments {
    /// A model file, whose own template is used; a small default model if missing, which is fetched once.
    #[arg(short, long, value_name = "FILE", conflicts_with = "template")]
    model: Option<PathBuf>,
    /// A file with the template's source.
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// A JSON array of messages: [{"role": "user", "content": "Hello"}].
    #[arg(long, value_name = "FILE")]
    messages: PathBuf,
    /// A JSON array of tools.
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
    /// End where the assistant's answer begins.
    #[arg(long)]
    add_generation_prompt: bool,
    /// Further variables of the template, as a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    kwargs: String,
    /// The text of the token that begins a sequence; a model file brings its own.
    #[arg(long, value_name = "TEXT")]
    bos_token: Option<String>,
    /// The text of the token that ends a sequence; a model file brings its own.
    #[arg(long, value_name = "TEXT")]
    eos_token: Option<String>,
}

fn main() -> ExitCode {
    match print_prompt(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_prompt(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let source = Source::read(arguments)?;

    let messages: Vec<Message> = read_json(&arguments.messages)?;
    let tools: Option<Vec<Value>> = arguments.tools.as_deref().map(read_json).transpose()?;
    let variables: Map<String, Value> = serde_json::from_str(&arguments.kwargs)
        .map_err(|error| format!("--kwargs is no JSON object: {error}"))?;

    let prompt = ChatTemplate::new(&source.template)?.render(&RenderInput {
        messages: &messages,
        tools: tools.as_deref(),
        add_generation_prompt: arguments.add_generation_prompt,
        bos_token: arguments
            .bos_token
            .as_deref()
            .or(source.bos_token.as_deref()),
        eos_token: arguments
            .eos_token
            .as_deref()
            .or(source.eos_token.as_deref()),
        variables,
        ..RenderInput::default()
    })?;
    std::io::stdout().write_all(prompt.as_bytes())?;
    Ok(())
}

/// A template and the tokens that its file names.
struct Source {
    template: String,
    bos_token: Option<String>,
    eos_token: Option<String>,
}

impl Source {
    fn read(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let Some(path) = &arguments.template else {
            let file =
                Registry::default().open_vocabulary(model_path(arguments.model.as_deref())?)?;
            return Ok(Self::from_metadata(&file.metadata)?);
        };
        Ok(Self {
            template: read_text(path)?,
            bos_token: None,
            eos_token: None,
        })
    }

    fn from_metadata(metadata: &Metadata) -> Result<Self, FormatError> {
        let tokens: &StringArray = metadata.get("tokenizer.ggml.tokens")?;
        let token = |key: &str| -> Result<Option<String>, FormatError> {
            let id: Option<u32> = metadata.maybe(key)?;
            Ok(id
                .and_then(|id| tokens.str(id as usize))
                .map(str::to_string))
        };
        Ok(Self {
            template: metadata.get::<&str>("tokenizer.chat_template")?.to_string(),
            bos_token: token("tokenizer.ggml.bos_token_id")?,
            eos_token: token("tokenizer.ggml.eos_token_id")?,
        })
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    serde_json::from_str(&read_text(path)?).map_err(|error| format!("{}: {error}", path.display()))
}
