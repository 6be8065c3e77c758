//! The reference of every kernel: plain Rust, on any machine.

pub(crate) mod attention;
pub(crate) mod bf16;
pub(crate) mod chances;
pub(crate) mod int8;
pub(crate) mod limits;
pub(crate) mod linear;
pub(crate) mod math;
pub(crate) mod sparse;
pub(crate) mod state;
pub(crate) mod vector;
