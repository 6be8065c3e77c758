//! Encoders: models that read a whole text at once and give each token features.
//!
//! An [`Encoder`] is to them what a [`CausalLm`](crate::CausalLm) is to language models; it has no cache, for nothing is
//! continued. [`build_encoder`] builds the one that a file describes: BERT and its kin, which `bert` holds. `folder` and
//! `modules` read the folders that Hugging Face and sentence-transformers keep them in.

mod bert;
mod contract;
mod folder;
mod forward;
mod modules;
mod pooling;

pub use bert::{Bert, BertSpec};
pub use contract::{Encoder, EncoderConfig};
pub(crate) use folder::hugging_face;
pub(crate) use modules::read as read_modules;
pub use pooling::{Pool, Pooling};

use crate::ModelError;
use crate::arch::Loader;

/// The values of `general.architecture` that mean an encoder.
pub const ENCODERS: [&str; 2] = ["bert", "nomic-bert"];

/// Builds the encoder that the loader's metadata names, and makes sure that nothing of the file was ignored.
///
/// # Errors
/// [`ModelError::UnknownArchitecture`]; if a key or tensor is missing, impossible, of another shape or not understood.
pub fn build_encoder(loader: &mut Loader<'_>) -> Result<Box<dyn Encoder>, ModelError> {
    let name = loader.metadata().architecture()?;
    if !ENCODERS.contains(&name) {
        return Err(ModelError::UnknownArchitecture {
            file: loader.metadata().file().to_owned(),
            found: name.to_owned(),
            known: ENCODERS.map(str::to_owned).into(),
        });
    }
    let spec = BertSpec::read(loader.metadata())?;
    let encoder = Bert::load(spec, loader)?;
    loader.finish()?;
    Ok(Box::new(encoder))
}
