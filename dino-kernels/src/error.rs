//! The errors of this crate.

use crate::{Isa, KvType};

/// What can go wrong when choosing kernels or running them on a caller's data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A name that no instruction set has.
    #[error("{variable}={name}: no such instruction set; known are {known}", known = Isa::names(&Isa::ALL))]
    UnknownIsa {
        /// The environment variable that holds the name.
        variable: &'static str,
        /// The name.
        name: String,
    },
    /// An instruction set that was asked for and that this machine lacks.
    #[error(
        "this machine cannot run the instruction set `{isa}`; it can run {available}",
        available = Isa::names(&Isa::available().collect::<Vec<_>>())
    )]
    IsaUnavailable {
        /// The set that was asked for.
        isa: Isa,
    },
    /// A name that no type of keys and values has.
    #[error("`{name}` is no type of a cache; known are {known}", known = KvType::ALL.map(KvType::name).join(", "))]
    UnknownKvType {
        /// The name.
        name: String,
    },
    /// The operating system refused a worker thread.
    #[error("cannot start worker thread {worker} of {threads}: {source}; ask for fewer threads")]
    Spawn {
        /// The worker's number.
        worker: usize,
        /// Threads asked for in all.
        threads: usize,
        /// The cause.
        source: std::io::Error,
    },
    /// A token id beyond the rows of the embedding.
    #[error(
        "token {token} at index {index}: tensor `{tensor}` has rows for tokens 0..{rows} only; \
         was the text encoded with this model's own tokenizer?"
    )]
    TokenOutOfRange {
        /// The token id.
        token: u32,
        /// Where in the list of tokens it stands.
        index: usize,
        /// The embedding's name.
        tensor: String,
        /// Rows it has.
        rows: usize,
    },
}
