//! The forward pass of a decoder: what a [`Spec`](crate::arch::Spec) describes, run.
//!
//! [`Transformer`] holds the weights and `buffers` what a pass works in. `forward` is the pass, which reads as the
//! papers do: attention, residual, feed-forward, residual. Each part of a layer is a room with its weights, how they
//! are read from a file, and how they are run: `norm`, `rotation`, `attention`, `feed_forward`, `experts` (with `routes`,
//! which says who goes where), `head`. Every linear layer of a decoder's layers runs through `linear`.

mod attention;
mod buffers;
mod convolution;
mod experts;
mod feed_forward;
mod forward;
mod gated_delta;
mod head;
mod linear;
mod mixer;
mod norm;
mod rotation;
mod routes;
mod selective_scan;
mod short_convolution;
mod state_space;
mod weights;

pub(crate) use buffers::Rows;
pub(crate) use norm::Norm;
pub use weights::Transformer;
