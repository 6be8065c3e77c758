//! Which parts are worth least.

use std::sync::Arc;

use dino_models::ModelError;
use dino_models::format::{FormatError, ModelFile};
use dino_quant::QuantError;
use dino_quant::calibration::{Calibration, Influence};
use dino_quant::prune::{Prune, column_energies};

use super::kept::{Cut, Kept};
use super::shape::Shape;

/// Why a model cannot lose such parts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// The file cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file's metadata describes no model that is known here.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor cannot be judged.
    #[error("tensor `{tensor}` cannot be judged: {source}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// Why.
        source: QuantError,
    },
    /// The model is of a kind that cannot lose them.
    #[error("this model cannot be cut so: {0}")]
    Unfit(&'static str),
    /// Too many are to go.
    #[error("{asked} of {all} {what} were to go, at most {most} can")]
    TooMany {
        /// Layers, or heads.
        what: &'static str,
        /// As many were to go.
        asked: usize,
        /// There are as many.
        all: usize,
        /// As many can go.
        most: usize,
    },
    /// Nobody saw what the layers do.
    #[error("which layers matter shows only while the model reads: give a text to calibrate by")]
    NoText,
    /// What layers are follows from where they stand, and would no longer.
    #[error(
        "layer {layer} would stand in place {place}, where the architecture expects another kind of layer"
    )]
    Moved {
        /// The layer as it is counted now.
        layer: usize,
        /// As it would be counted.
        place: usize,
    },
}

impl Cut {
    /// Finds the parts of `file` that are worth least; `calibration` is what was seen of this very file.
    ///
    /// Channels and heads go by what they add to the residual stream on average: the squares of the weights that read them
    /// times the mean square of what these read, or times nothing without calibration. Layers go by how little they turn the
    /// stream; the first and the last stay.
    ///
    /// # Errors
    /// [`CutError`], if the model cannot lose them or they cannot be judged.
    ///
    /// # Panics
    /// If `prune` asks for single weights.
    pub fn find(
        file: &ModelFile,
        prune: &Prune,
        calibration: Option<&Calibration>,
    ) -> Result<Self, CutError> {
        let shape = Shape::of(file)?;
        let kept = match *prune {
            Prune::Layers(count) => {
                let seen = calibration.map_or(&[][..], |calibration| &calibration.layers);
                Kept::Layers(layers(&shape, seen, count)?)
            }
            Prune::FeedForward(fraction) => {
                let channels = shape.channels()?;
                let count = kept_channels(channels, fraction);
                let judge = |layer| {
                    let name = format!("blk.{layer}.ffn_down.weight");
                    energies(file, &name, channels, calibration)
                };
                Kept::Channels(greatest_of_each(shape.layers(), count, judge)?)
            }
            Prune::Heads(fraction) => {
                let values = shape.sharing()? * shape.spec.head_dim;
                let heads = shape.spec.kv_heads;
                let count = heads - (heads as f64 * fraction).round() as usize;
                if count == 0 || count == heads {
                    return Err(CutError::TooMany {
                        what: "key/value heads",
                        asked: heads - count,
                        all: heads,
                        most: heads - 1,
                    });
                }
                let judge = |layer| {
                    let name = format!("blk.{layer}.attn_output.weight");
                    let energies = energies(file, &name, heads * values, calibration)?;
                    Ok(energies
                        .chunks(values)
                        .map(|head| head.iter().sum())
                        .collect())
                };
                Kept::Heads(greatest_of_each(shape.layers(), count, judge)?)
            }
            _ => panic!("single weights are no part of a model"),
        };
        Ok(Self { kept })
    }
}

/// All layers but `count` that change the stream least.
fn layers(shape: &Shape, seen: &[Influence], count: usize) -> Result<Vec<usize>, CutError> {
    let all = shape.layers();
    let most = all.saturating_sub(2);
    if count > most {
        let (what, asked) = ("layers", count);
        return Err(CutError::TooMany {
            what,
            asked,
            all,
            most,
        });
    }
    if seen.len() != all {
        return Err(CutError::NoText);
    }
    let mut inner: Vec<usize> = (1..all - 1).collect();
    inner.sort_by(|&a, &b| seen[a].mean().total_cmp(&seen[b].mean()));
    let dropped = &inner[..count];
    let kept: Vec<usize> = (0..all).filter(|layer| !dropped.contains(layer)).collect();
    // Some architectures say by a layer's place what it is: windows, kinds of attention.
    for (place, &layer) in kept.iter().enumerate() {
        if shape.spec.layers[place] != shape.spec.layers[layer] {
            return Err(CutError::Moved { layer, place });
        }
    }
    Ok(kept)
}

/// How many channels stay: whole blocks of 256 where they are that now and many, else of 32, so that types with blocks
/// still fit.
fn kept_channels(channels: usize, fraction: f64) -> usize {
    let block = match channels {
        _ if channels.is_multiple_of(256) && channels >= 16 * 256 => 256,
        _ if channels.is_multiple_of(32) && channels > 32 => 32,
        _ => 1,
    };
    let blocks = (channels / block) as f64 * (1.0 - fraction);
    (blocks.round() as usize).max(1) * block
}

/// What each column of a tensor, which must have `columns`, adds to the stream.
fn energies(
    file: &ModelFile,
    name: &str,
    columns: usize,
    calibration: Option<&Calibration>,
) -> Result<Vec<f64>, CutError> {
    let tensor = file.weights.get(name)?;
    if tensor.columns() != columns || tensor.shape().len() != 2 {
        return Err(CutError::Unfit(
            "its matrices have other sizes than its metadata says",
        ));
    }
    let importance = calibration.and_then(|calibration| calibration.importance(name));
    let energies = column_energies(&tensor, importance.as_deref());
    let energies = energies.map_err(|source| CutError::Tensor {
        tensor: name.into(),
        source,
    })?;
    tensor.storage().release();
    Ok(energies)
}

/// The `count` places of the greatest worth in each layer, in their order.
fn greatest_of_each(
    layers: usize,
    count: usize,
    judge: impl Fn(usize) -> Result<Vec<f64>, CutError>,
) -> Result<Vec<Arc<[usize]>>, CutError> {
    let greatest = |layer| {
        let worth = judge(layer)?;
        let mut order: Vec<usize> = (0..worth.len()).collect();
        order.sort_by(|&a, &b| worth[b].total_cmp(&worth[a]));
        order.truncate(count);
        order.sort_unstable();
        Ok(order.into())
    };
    (0..layers).map(greatest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_stay_whole_blocks() {
        assert_eq!(kept_channels(8192, 0.25), 6144);
        assert_eq!(kept_channels(8192, 0.3), 5632);
        assert_eq!(kept_channels(1536, 0.25), 1152);
        assert_eq!(kept_channels(50, 0.5), 25);
        assert_eq!(kept_channels(8192, 0.999), 256);
    }

    #[test]
    fn the_greatest_stay_in_order() {
        let worth = [vec![1.0, 5.0, 3.0, 4.0], vec![2.0, 2.0, 0.0, 2.0]];
        let kept = greatest_of_each(2, 2, |layer| Ok(worth[layer].clone())).unwrap();
        assert_eq!(kept, [Arc::from([1, 3]), Arc::from([0, 1])]);
    }
}
