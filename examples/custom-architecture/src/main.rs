//! Runs models of architectures that dino-llm does not know.
//!
//! ```sh
//! cargo run --release                    # a copy of the default model under another name, then a random minGRU
//! cargo run --release -- minicpm.gguf    # your file
//! ```

use custom_architecture::{Letters, MinGru, MiniCpm, NoRepeat, copy_as_minicpm, random_min_gru};
use dino_llm::{ChatSession, Generator, Model, Request, SamplingParams, default_model};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(path) => described(Path::new(&path)),
        None => {
            let folder =
                std::env::temp_dir().join(format!("custom-architecture-{}", std::process::id()));
            std::fs::create_dir_all(&folder)?;
            let result = demonstrate(&folder);
            std::fs::remove_dir_all(&folder)?;
            result
        }
    }
}

fn demonstrate(folder: &Path) -> Result<(), Box<dyn Error>> {
    let source: PathBuf = default_model::ensure(|_| ())?;
    let path = folder.join("minicpm.gguf");
    copy_as_minicpm(&source, "llama", &path)?;
    described(&path)?;
    let path = folder.join("mingru.gguf");
    random_min_gru(&path, 2, 64)?;
    computed(&path)
}

/// The architecture that is a delta: template, sampling and streaming come with it.
fn described(path: &Path) -> Result<(), Box<dyn Error>> {
    let model = Model::builder()
        .architecture(MiniCpm)
        .architecture(MinGru)
        .load(path)?;
    let params = SamplingParams::default()
        .with_temperature(0.0)
        .with_max_tokens(24);
    let mut chat = ChatSession::new(&model)?;
    println!(
        "minicpm answers: {}",
        chat.send("What is the capital of France?", &params)?.text
    );

    print!("minicpm goes on: The sea");
    let request = Request::new("The sea", &params).processor(NoRepeat(3));
    for token in Generator::new(&model).start(request)? {
        print!("{}", token?.text);
        std::io::stdout().flush()?;
    }
    println!();
    Ok(())
}

/// The architecture with a forward pass of its own, and a tokenizer of one's own.
fn computed(path: &Path) -> Result<(), Box<dyn Error>> {
    let model = Model::builder()
        .architecture(MinGru)
        .tokenizer(Arc::new(Letters::default()))
        .load(path)?;
    let params = SamplingParams::default().with_seed(7).with_max_tokens(24);
    let completion = Generator::new(&model).generate("Its weights are random, so", &params)?;
    println!(
        "mingru says {:?} at {:.0} tokens/s",
        completion.text, completion.stats.decode_tokens_per_second
    );
    Ok(())
}
