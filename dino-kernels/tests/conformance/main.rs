//! Every kernel of every instruction set that this machine runs, against independent references.
//!
//! `DINO_REQUIRE_ISA=avx2,avx512` makes the tests fail on a machine that lacks one of them.

mod common;
mod half_floats;
mod vector;
