//! Many requests at once, on tiny models.

mod adapters;
mod chat;
#[path = "../generate/common.rs"]
#[allow(dead_code)]
mod common;
mod ending;
mod failing;
#[cfg(feature = "async")]
mod futures;
mod metrics;
mod overflow;
mod requests;
mod same_text;
mod scheduling;
mod speculation;
mod states;
mod stress;
