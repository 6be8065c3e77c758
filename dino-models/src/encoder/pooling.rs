//! From the features of tokens to those of a text.

use crate::ModelError;
use crate::format::Metadata;
use ndarray::{Array1, ArrayView2, Axis};

/// How the features of a text are made from those of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// Those of the first token, which encoders put there for this (CLS).
    First,
    /// Those of the last token, which has seen all others in a model that reads from left to right.
    Last,
}

impl Pooling {
    /// Reads `pooling_type`; `None` where the file does not say.
    ///
    /// # Errors
    /// If it is one that is not known.
    pub fn read(metadata: &Metadata) -> Result<Option<Self>, ModelError> {
        let scoped = metadata.scoped()?;
        let key = "pooling_type";
        match scoped.maybe::<u32>(key)? {
            None | Some(0) => Ok(None),
            Some(1) => Ok(Some(Self::Mean)),
            Some(2) => Ok(Some(Self::First)),
            Some(3) => Ok(Some(Self::Last)),
            Some(other) => Err(ModelError::Unsupported {
                file: metadata.file().to_owned(),
                key: scoped.key(key),
                found: other.to_string(),
            }),
        }
    }

    /// The features of a text, `[hidden]`, from those of its tokens, `[tokens, hidden]`; zeros if it has none.
    pub fn apply(self, tokens: ArrayView2<'_, f32>) -> Array1<f32> {
        let row = |row: Option<ndarray::ArrayView1<'_, f32>>| {
            row.map_or_else(|| Array1::zeros(tokens.ncols()), |row| row.to_owned())
        };
        match self {
            Self::Mean => tokens
                .mean_axis(Axis(0))
                .unwrap_or_else(|| Array1::zeros(tokens.ncols())),
            Self::First => row(tokens.rows().into_iter().next()),
            Self::Last => row(tokens.rows().into_iter().next_back()),
        }
    }
}
