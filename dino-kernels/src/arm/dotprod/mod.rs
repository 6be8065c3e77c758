//! NEON with the dot products of Armv8.2: four products of bytes a lane in one instruction.

pub(crate) mod int8;
pub(crate) mod linear;
