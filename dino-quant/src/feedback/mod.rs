//! Better than rounding: what rounding one weight loses is made good by the weights that are still to be rounded.
//!
//! Frantar et al., "GPTQ", arXiv:2210.17323. A layer's result is off by `e · x` where a row of its weight is off by `e`; over
//! the inputs of a calibration that is `eᵀ H e` in squares, with `H = Σ x xᵀ` ([`HessianCollector`]). Columns are rounded one
//! after the other, and each error is spread over the columns that follow, by how the inputs go together:
//! with `H⁻¹ = Uᵀ U`, `U` upper triangular, `w[k] -= (w[j] - rounded) / U[j][j] · U[j][k]` ([`Factor`]).
//!
//! The scales of a block are searched when its first column comes, on values that have taken the errors of all before. Or all
//! are searched first, and columns come in the order of their size in `H`, the largest first, while there are still many
//! left to make their errors good. Which is better depends on the tensor, and sometimes plain rounding is: all three are tried,
//! and the one is kept that loses least ([`encode_with_feedback`]).

mod encode;
mod factor;
mod hessian;

pub use encode::{Feedback, Method, can_feed_back, encode_with_feedback};
pub use factor::Factor;
pub use hessian::HessianCollector;
