//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// Serves a model over HTTP, with OpenAI's API.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub(crate) struct Options {
    /// The model file; the default model if missing.
    #[arg(long, short, env = "DINO_MODEL")]
    pub(crate) model: Option<PathBuf>,
    /// The name that clients know the model by; the file's name if missing.
    #[arg(long)]
    pub(crate) alias: Option<String>,
    /// An adapter (LoRA: a folder of PEFT's, or a GGUF file), as NAME=PATH; requests whose `model` is NAME run with it.
    #[arg(long, alias = "lora-modules", value_name = "NAME=PATH", num_args = 1..)]
    pub(crate) lora: Vec<Lora>,
    /// An encoder (BERT, Nomic) that answers /v1/embeddings instead of the model.
    #[arg(long, value_name = "MODEL")]
    pub(crate) embedding_model: Option<PathBuf>,
    /// A much smaller model of the same vocabulary, which guesses tokens ahead; the texts stay the same.
    #[arg(long, value_name = "MODEL")]
    pub(crate) draft: Option<PathBuf>,
    /// Guesses up to N tokens ahead from what the text had before; the texts stay the same.
    #[arg(long, value_name = "N")]
    pub(crate) speculate_ngram: Option<usize>,
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    #[arg(long, short, default_value_t = 8080)]
    pub(crate) port: u16,
    /// Clients have to send this key as `Authorization: Bearer KEY`.
    #[arg(long, env = "DINO_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Pages from this origin may use the server from a browser (`*`: any); none may if missing.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// Threads to compute with; one a core if missing.
    #[arg(long, short, default_value_t = 0)]
    pub(crate) threads: usize,
    /// Tokens of prompt and answer together; what the model was trained for if missing.
    #[arg(long, short)]
    pub(crate) context_length: Option<usize>,
    /// Connections at once; further ones wait until one ends.
    #[arg(long, default_value_t = 1024)]
    pub(crate) max_connections: usize,
    /// Requests that run together.
    #[arg(long, default_value_t = 16)]
    pub(crate) max_sequences: usize,
    /// Requests that may wait; more are told to come back.
    #[arg(long, default_value_t = 256)]
    pub(crate) max_queue: usize,
    /// Bytes for the keys and values of past tokens; up to a quarter of the free memory if missing.
    #[arg(long)]
    pub(crate) cache_memory: Option<usize>,
    /// Tokens that one answer may have at most.
    #[arg(long)]
    pub(crate) max_tokens: Option<usize>,
    /// Answers that one request may ask for (`n`, and prompts in a list).
    #[arg(long, default_value_t = 32)]
    pub(crate) max_choices: usize,
    /// Bytes that the body of a request may have.
    #[arg(long, default_value_t = 4 << 20)]
    pub(crate) max_body: usize,
    /// Seconds after which an answer ends where it is.
    #[arg(long, default_value_t = 600)]
    pub(crate) timeout: u64,
    /// Seconds that a client may take to send its request.
    #[arg(long, default_value_t = 30)]
    pub(crate) read_timeout: u64,
    /// Seconds that running requests may take to end when the server is told to stop.
    #[arg(long, default_value_t = 30)]
    pub(crate) drain_timeout: u64,
}

/// A named adapter.
#[derive(Clone, Debug)]
pub(crate) struct Lora {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl FromStr for Lora {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok(Self {
                name: name.into(),
                path: path.into(),
            }),
            _ => Err("expected NAME=PATH"),
        }
    }
}
