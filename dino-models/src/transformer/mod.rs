//! The forward pass of a decoder: what a [`Spec`](crate::arch::Spec) describes, run.
//!
//! [`Transformer`] holds the weights, `buffers` what a pass works in, `forward` the pass itself, which reads as the
//! papers do: norm, attention, residual, norm, feed-forward, residual.

mod buffers;
mod forward;
mod head;
mod weights;

pub use weights::Transformer;
