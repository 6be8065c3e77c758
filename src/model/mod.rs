//! A loaded model, and how it is loaded.

mod builder;
mod embed;
mod fingerprint;
mod loaded;
pub(crate) mod memory;
mod placement;
mod power;
mod reading;
mod rope_override;
mod threads;
mod tuning;
mod warm_up;

pub use builder::ModelBuilder;
pub use embed::Embedding;
pub use loaded::Model;
pub use power::Power;
pub use reading::LoadPhase;
pub use rope_override::{RopeKind, RopeOverride, UnknownRopeKind};
pub use threads::Threads;
