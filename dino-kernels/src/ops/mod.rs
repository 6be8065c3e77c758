//! The operations of a forward pass, one file each: shapes, checks, the split into chunks, the table call.
//!
//! Activations are views of shape `[tokens, features]` in standard layout. A shape that does not fit is a
//! caller's bug and panics; what a user's data can get wrong is a [`KernelError`](crate::KernelError).

mod attention;
mod linear;

pub use attention::{Attention, AttentionSpan, append, attend};
pub use linear::{Linear, LinearInput, linear};
#[allow(missing_docs)]
mod interim;
pub use interim::*;
