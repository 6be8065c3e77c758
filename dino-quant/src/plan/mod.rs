//! Which tensor is stored as what.
//!
//! [`Rules`] are what a user asks for: a [`Preset`], exceptions by regular expression, types for head and embedding. For
//! the tensors of a file they make a [`Plan`], which is a plain list, can be written, edited and read, and goes into the
//! file that is made by it. [`allocate`] makes the same list for a size instead.

mod budget;
mod list;
mod preset;
mod role;
mod rules;

pub use budget::{Choice, allocate, allocate_for_cost};
pub use list::{Plan, PlanError};
pub use preset::Preset;
pub use role::{TensorFacts, is_quantizable};
pub use rules::{Fallback, Override, Rules};
