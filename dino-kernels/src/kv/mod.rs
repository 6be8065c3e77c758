//! Keys and values as attention reads them: how they are stored, and how one is written.
//!
//! * [`types`] names what can be stored; keys and values are chosen apart.
//! * [`page`] is the memory: positions of one sequence, with a tile for each layer and head.
//! * [`plane`] is the definition of every type: where an element of a tile lies, and what its bits mean.
//! * [`encode`] writes one key or value into a plane.
//! * [`rotation`] spreads outliers over a head before it is rounded to four bits.

mod encode;
mod page;
mod plane;
mod rotation;
mod types;

pub(crate) use page::KvTileMut;
pub use page::{KvLayout, KvPage};
pub(crate) use plane::{BLOCK, Plane};
pub(crate) use rotation::rotate;
pub use types::{KvType, KvTypes};

/// Positions that a [`KvPage`] holds.
pub const PAGE: usize = 64;
