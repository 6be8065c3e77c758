//! Channels of a model scaled before it is quantized: AWQ, over whole files.
//!
//! [`groups`] says which matrices read one input and what makes it, [`Scaling::find`] which factors serve them best.

mod find;
mod groups;

pub use find::{FoundScales, Scaling, ScalingSource};
