//! Criterion benches of dino-llm.

#![forbid(unsafe_code)]
