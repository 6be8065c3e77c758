//! The sizes of a model that cuts change.

use dino_models::arch::{FeedForward, Mixer, Registry, Spec};
use dino_models::format::ModelFile;

use super::CutError;

/// A decoder whose layers are alike in what a cut changes.
pub(super) struct Shape {
    pub(super) spec: Spec,
}

impl Shape {
    pub(super) fn of(file: &ModelFile) -> Result<Self, CutError> {
        let spec = Registry::default().spec(&file.metadata)?;
        Ok(Self { spec })
    }

    pub(super) fn layers(&self) -> usize {
        self.spec.layers.len()
    }

    /// Channels of the feed-forward parts, the same in all layers.
    pub(super) fn channels(&self) -> Result<usize, CutError> {
        let size = |part: &FeedForward| match *part {
            FeedForward::Gated { size } | FeedForward::Plain { size } => Some(size),
            _ => None,
        };
        let sizes = self
            .spec
            .layers
            .iter()
            .map(|layer| size(&layer.feed_forward));
        let sizes: Option<Vec<usize>> = sizes.collect();
        match sizes.as_deref() {
            Some([first, rest @ ..]) if rest.iter().all(|size| size == first) => Ok(*first),
            _ => Err(CutError::Unfit(
                "channels go only where all feed-forward parts are plain or gated ones of one size",
            )),
        }
    }

    /// Query heads of each key/value head.
    pub(super) fn sharing(&self) -> Result<usize, CutError> {
        let attends = |mixer: &Mixer| matches!(mixer, Mixer::Attention);
        let all = self.spec.layers.iter().all(|layer| attends(&layer.mixer));
        if !all || self.spec.kv_heads == 0 || self.spec.attention_gate {
            return Err(CutError::Unfit(
                "heads go only where all layers attend, without gates",
            ));
        }
        Ok(self.spec.heads / self.spec.kv_heads)
    }
}
