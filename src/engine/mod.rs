//! Many requests at once: [`Engine`] takes [`Request`](crate::Request)s from any threads and runs them together.
//!
//! A request goes this way:
//!
//! 1. `handle` checks it in the caller's thread, makes it a [`Job`](job::Job) and posts it;
//! 2. the [`Worker`](worker::Worker), alone on a thread of its own, lets it wait in its [`Waiting`](waiting::Waiting) line
//!    and then run: each step takes one token of every text and a piece of every prompt ([`plan`]);
//! 3. its tokens go through a [`channel`] to its [`EngineStream`].
//!
//! `docs/engine.md` says how the worker chooses, and why.

mod admit;
mod channel;
mod error;
mod handle;
mod job;
mod metrics;
mod options;
mod plan;
mod record;
mod speculate;
mod states;
mod step;
mod stream;
mod waiting;
mod worker;

pub use error::EngineError;
pub use handle::Engine;
pub use metrics::{Energy, EnergyMeter, EngineMetrics, Finished, Histogram, MetricsSnapshot};
pub use options::EngineOptions;
pub use speculate::Speculation;
pub use stream::EngineStream;
