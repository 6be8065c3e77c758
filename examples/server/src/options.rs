//! The command line.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

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
    /// The address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    #[arg(long, short, default_value_t = 8080)]
    pub(crate) port: u16,
    /// Clients have to send this key as `Authorization: Bearer KEY`.
    #[arg(long, env = "DINO_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
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
