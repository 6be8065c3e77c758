//! What a model is: file formats, tokenizers, architectures, forward pass, KV cache.
//!
//! * [`format`](mod@format) reads files into [`Metadata`](format::Metadata) and [`Weights`](format::Weights);
//! * [`tokenizer`] turns text into ids and back;
//! * [`arch`] says what the metadata means: an [`Architecture`] describes its model as a delta;
//! * [`transformer`] runs what it described, as a [`CausalLm`], over a [`Batch`] of sequences in a [`Cache`].
//!
//! ```no_run
//! use dino_kernels::{Compute, KvType};
//! use dino_models::arch::{Loader, LoaderOptions, Registry};
//! use dino_models::format::ModelFile;
//! use dino_models::{Batch, Scratch, Wanted};
//!
//! let file = ModelFile::open("model.gguf")?;
//! let compute = Compute::new(0)?;
//! let model = Registry::default()
//!     .build(&mut Loader::new(&file, &compute, LoaderOptions::default()))?;
//!
//! let mut cache = model.config().new_cache(KvType::F16, None);
//! let mut batch = Batch::default();
//! batch.push(cache.add(), &[1, 2, 3], Wanted::Last);
//! let mut scratch = Scratch::new();
//! model.forward(&compute, &batch, &mut cache, &mut scratch)?;
//! println!("{} logits", scratch.logits().ncols());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod adapter;
pub mod arch;
mod batch;
mod beside;
mod cache;
mod causal_lm;
pub mod encoder;
mod error;
pub mod format;
mod int8;
pub mod packed_file;
mod residency;
mod rounded;
pub mod tokenizer;
pub mod transformer;

pub use adapter::{Adapter, AdapterBase};
pub use arch::{Architecture, Registry};
pub use batch::{AdaptedRows, Batch, Span, Wanted};
pub use beside::FileBeside;
pub use cache::{Cache, Saved, SavedError, SequenceId};
pub use causal_lm::{CausalLm, Config, Scratch};
pub use encoder::{Encoder, EncoderConfig};
pub use error::ModelError;
pub use int8::{Int8, Int8Layer};
pub use residency::{ExpertStats, Residency};
