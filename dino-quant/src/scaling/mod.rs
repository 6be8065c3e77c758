//! Channels scaled so that those that matter most are rounded most finely.
//!
//! Lin et al., "AWQ", arXiv:2306.00978. Some channels of an input are much larger than others, and errors in the columns that
//! read them cost most. If such a column is multiplied by a factor and the channel divided by it, nothing changes in exact
//! numbers, but the column's share of the rounding error shrinks by the factor, at the cost of the columns that share a scale
//! with it. The division goes into what makes the channel (a norm's weight, the rows of a matrix), so that the result is a
//! model like any other.
//!
//! [`ScaledGroup`] is what reads one input; [`ScaledGroup::search`] finds the factors that lose least of its results, by
//! trying; [`scaled`] multiplies a tensor by them.

mod apply;
mod group;

pub use apply::{scaled, scaled_hessian, scaled_importance};
pub use group::{Reader, ScaledGroup, Scales};
