//! Criterion benches of dino-llm.
