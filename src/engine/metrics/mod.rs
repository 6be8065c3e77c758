//! What an engine has done: counts, times, memory, energy.

mod energy;
mod histogram;
mod prometheus;
mod snapshot;

pub use energy::{Energy, EnergyMeter};
pub use histogram::Histogram;
pub use snapshot::{EngineMetrics, Finished, MetricsSnapshot};
