//! Where weights are while a model runs.

mod experts;
mod window;

use dino_core::Storage;
pub use experts::ExpertStats;
pub(crate) use window::{Room, Window};

/// Where the packed weights of a model are while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Residency {
    /// Pages of the packed file where there is one, else memory of this process.
    #[default]
    Auto,
    /// Memory of this process: nothing is read from a file once the model is loaded.
    Resident,
    /// Pages of the packed file: the system keeps as many of them as it has room for, and other processes share them.
    Mapped,
    /// Pages of the model file itself: nothing is packed or copied, so that a model starts at once, and its memory is pages that
    /// processes share and the system takes back when it wants. Each use of a weight packs it on the way: texts come several
    /// times as slowly. For a few tokens, or a look at a model; a packed file starts as fast from the second time on, and runs fast.
    Unpacked,
    /// Pages of the packed file, of which a pass holds at most so many bytes at a time: those of the layer that runs and of
    /// the next one, of experts those that tokens are routed to, and of as much else as the budget allows. For models that
    /// are larger than the memory.
    Streamed {
        /// Bytes that weights and cache may take; the cache its [share](Self::cache_share), or less where weights need more.
        budget: usize,
    },
}

impl Residency {
    /// Tokens that a budget has room for at least: fewer are not worth a model.
    pub const LEAST_CONTEXT: usize = 256;

    /// Of a budget for weights and cache, the bytes that the cache of past tokens may take, and that weights leave to it if they
    /// can.
    pub fn cache_share(budget: usize) -> usize {
        budget / 4
    }
}

/// The packed weights of one layer.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    /// What every token goes through.
    pub(crate) always: Vec<Storage>,
    /// What only the tokens that are routed there go through, by expert.
    pub(crate) experts: Vec<Vec<Storage>>,
}

fn size(weights: &[Storage]) -> usize {
    weights
        .iter()
        .map(Storage::len)
        .fold(0, usize::saturating_add)
}
