//! A loaded model, and how it is loaded.

mod builder;
mod loaded;
mod memory;
mod placement;

pub use builder::ModelBuilder;
pub use loaded::Model;
