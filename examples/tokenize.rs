//! Text to token ids and back, with the vocabulary of a model file.
//!
//! ```sh
//! cargo run --release --example tokenize -- --model model.gguf "Hello, world!"
//! echo "Hello" | cargo run --release --example tokenize -- --model model.gguf
//! cargo run --release --example tokenize -- --model model.gguf --decode "[19556, 28, 905, 17]"
//! ```

#[path = "shared/model_path.rs"]
mod model_path;

use std::error::Error;
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dino_models::Registry;
use dino_models::tokenizer::{
    EncodeOptions, SpecialText, TextDecoder, Tokenizer, VocabularyTokenizer,
};
use model_path::model_path;

/// Prints the token ids of a text as a JSON array, or the text of token ids.
#[derive(Debug, Parser)]
struct Arguments {
    /// The model file or folder, of which the vocabulary will do; a small default model if missing, which is fetched once.
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Add the tokens that the model wants around a text, such as the one that begins it.
    #[arg(long)]
    add_special: bool,
    /// Turn control tokens in the text, such as <|im_start|>, into their ids; on the way back, show them.
    #[arg(long)]
    parse_special: bool,
    /// Read a JSON value a line from stdin, and write one a line.
    #[arg(long, conflicts_with = "input")]
    jsonl: bool,
    /// The way back: read a JSON array of ids and print the text.
    #[arg(long)]
    decode: bool,
    /// The text, or with --decode the ids; read from stdin if missing.
    input: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let file = Registry::default().open_vocabulary(model_path(arguments.model.as_deref())?)?;
    let tokenizer = VocabularyTokenizer::from_metadata(&file.metadata)?;
    let mut out = io::stdout().lock();
    if arguments.jsonl {
        for line in io::stdin().lock().lines() {
            writeln!(out, "{}", convert_line(&tokenizer, arguments, &line?)?)?;
        }
        return Ok(());
    }
    let input = match &arguments.input {
        Some(input) => input.clone(),
        None => read_stdin()?,
    };
    if arguments.decode {
        let text = decode(
            &tokenizer,
            arguments,
            &serde_json::from_str::<Vec<u32>>(&input)?,
        )?;
        write!(out, "{text}")?;
    } else {
        let tokens = encode(&tokenizer, arguments, &input)?;
        writeln!(out, "{}", serde_json::to_string(&tokens)?)?;
    }
    Ok(())
}

fn convert_line(
    tokenizer: &dyn Tokenizer,
    arguments: &Arguments,
    line: &str,
) -> Result<String, Box<dyn Error>> {
    Ok(if arguments.decode {
        let tokens: Vec<u32> = serde_json::from_str(line)?;
        serde_json::to_string(&decode(tokenizer, arguments, &tokens)?)?
    } else {
        let text: String = serde_json::from_str(line)?;
        serde_json::to_string(&encode(tokenizer, arguments, &text)?)?
    })
}

fn encode(
    tokenizer: &dyn Tokenizer,
    arguments: &Arguments,
    text: &str,
) -> Result<Vec<u32>, Box<dyn Error>> {
    let options = EncodeOptions {
        add_special: arguments.add_special,
        parse_special: arguments.parse_special,
    };
    Ok(tokenizer.encode(text, options)?)
}

fn decode(
    tokenizer: &dyn Tokenizer,
    arguments: &Arguments,
    tokens: &[u32],
) -> Result<String, Box<dyn Error>> {
    let special = if arguments.parse_special {
        SpecialText::Show
    } else {
        SpecialText::Omit
    };
    Ok(TextDecoder::whole()
        .special(special)
        .decode(tokenizer, tokens)?)
}

fn read_stdin() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
