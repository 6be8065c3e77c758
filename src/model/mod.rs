//! A loaded model, and how it is loaded.

mod builder;
mod embed;
mod fingerprint;
mod loaded;
pub(crate) mod memory;
mod placement;
mod power;
mod threads;
mod warm_up;

pub use builder::ModelBuilder;
pub use embed::Embedding;
pub use loaded::Model;
pub use power::Power;
pub use threads::Threads;
