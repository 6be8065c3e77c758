//! Continues a text where there is no file system and no second thread: in a browser, or in any host of WASI.
//!
//! `dino-browser MODEL_BYTES PROMPT MAX_TOKENS < model.gguf` writes the text to stdout as it comes and figures to stderr.
//! Greedy, so that the same page gives the same text everywhere.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{self, Read, Write};

use dino_llm::dino_core::storage::{AlignedBytes, Storage};
use dino_llm::dino_models::format::ModelFile;
use dino_llm::{Generator, Model, SamplingParams};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bytes, prompt, max_tokens] = &arguments[..] else {
        return Err("wanted: MODEL_BYTES PROMPT MAX_TOKENS".into());
    };
    let model = read_model(bytes.parse()?)?;
    eprintln!(
        "loaded in {:.2} s, {}",
        model.load_time().as_secs_f64(),
        model.isa()
    );
    let params = SamplingParams::greedy().with_max_tokens(max_tokens.parse()?);
    let mut generator = Generator::new(&model);
    let mut stream = generator.stream(prompt.as_str(), &params)?;
    for token in &mut stream {
        print!("{}", token?.text);
        io::stdout().flush()?;
    }
    println!();
    let stats = stream.into_completion()?.stats;
    eprintln!("{stats}");
    Ok(())
}

/// The model on stdin. Its size is told beforehand, so that memory is taken once.
fn read_model(bytes: usize) -> Result<Model, Box<dyn Error>> {
    let mut memory = AlignedBytes::zeroed(bytes);
    io::stdin().lock().read_exact(memory.as_mut_slice())?;
    let file = ModelFile::from_storage("model.gguf", &Storage::from_aligned(memory))?;
    Ok(Model::builder().load_file(file)?)
}
