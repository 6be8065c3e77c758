//! A loaded model, and how it is loaded.

mod builder;
mod loaded;

pub use builder::ModelBuilder;
pub use loaded::Model;
