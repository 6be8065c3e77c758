//! Whole parts of a model that go: layers, channels of feed-forward parts, heads of attention.
//!
//! [`Cut::find`] says which parts of a file are worth least, [`Cut::apply`] makes the file smaller by them. What is left is
//! a model like any other, of fewer layers or narrower ones, which every reader of its architecture runs.

mod apply;
mod find;
mod kept;
mod shape;

pub use find::CutError;
pub use kept::Cut;
