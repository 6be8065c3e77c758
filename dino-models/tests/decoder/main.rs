//! Decoders built from small files: what they compute, and what they refuse.

mod architectures;
mod common;
mod consistency;
mod folders;
mod int8;
mod refusals;
mod sweep;
mod table;
