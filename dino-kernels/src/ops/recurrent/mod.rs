//! Layers that remember by a state of fixed size: short convolutions, state spaces, delta rules.
//!
//! A token is run after the one before it, whether they come in one pass or in many, so that any cut of a text gives the
//! same bits. Work is split by sequences and by heads or channels.

mod convolution;
mod delta;
mod spans;
mod state_space;
#[cfg(test)]
mod tests;

pub use convolution::{Convolution, convolve};
pub use delta::{DeltaInput, DeltaRule, gated_delta};
pub use spans::StateSpan;
pub use state_space::{ScanInput, SelectiveScan, StateSpace, selective_scan, state_space};
