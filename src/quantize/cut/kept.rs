//! Which parts stay.

use std::sync::Arc;

use dino_quant::prune::Prune;

/// Which parts of a model stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub(super) kept: Kept,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// The layers that stay, in order.
    Layers(Vec<usize>),
    /// The channels that stay in each layer, as many in all.
    Channels(Vec<Arc<[usize]>>),
    /// The key/value heads that stay in each layer, as many in all.
    Heads(Vec<Arc<[usize]>>),
}

impl Cut {
    /// Whether `prune` asks for one, rather than for single weights.
    pub fn is_asked_by(prune: &Prune) -> bool {
        !matches!(prune, Prune::Weights(_))
    }

    /// What goes, in words.
    pub fn summary(&self) -> String {
        match &self.kept {
            Kept::Layers(kept) => format!("layers kept: {kept:?}"),
            Kept::Channels(kept) => {
                let channels = kept.first().map_or(0, |channels| channels.len());
                format!("{channels} channels kept in each feed-forward part")
            }
            Kept::Heads(kept) => {
                let heads = kept.first().map_or(0, |heads| heads.len());
                format!("{heads} key/value heads kept in each layer")
            }
        }
    }
}
