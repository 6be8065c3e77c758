//! Weights and parts of a model that can go.
//!
//! [`Prune`] is what a user asks for. Single weights are zeroed by [`prune_tensor`], as [`Pruning`] says: those of least
//! magnitude, or of least magnitude times what their input is on average (Wanda, Sun et al., arXiv:2306.11695), row by row.
//! What whole parts are worth, so that a model loses its least layers, channels and heads, is said by [`column_energies`] and
//! by [`Calibration::influence`](crate::calibration::Calibration).

mod ask;
mod columns;
mod weights;

pub use ask::{Criterion, Prune, PruneError, Pruning, Sparsity};
pub use columns::column_energies;
pub use weights::prune_tensor;
