//! Texts as vectors.

use dino_models::format::{FormatError, Metadata};
use dino_models::{Batch, Scratch, Wanted};
use ndarray::{ArrayView2, Axis, Slice};

use super::Model;
use crate::{Error, Prompt, Result};

/// Which rows of a text make its vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pooling {
    /// The mean of all.
    #[default]
    Mean,
    /// The first one's, which encoders train for it (CLS).
    First,
    /// The last one's, which has seen the whole text.
    Last,
}

/// A text as a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Of length 1, `[hidden]`.
    pub vector: Vec<f32>,
    /// Tokens of the text.
    pub tokens: usize,
}

impl Pooling {
    /// What the file asks for (`ARCHITECTURE.pooling_type`), else the mean.
    pub(super) fn of(metadata: &Metadata) -> Result<Self, FormatError> {
        let stated = metadata.scoped()?.maybe::<u32>("pooling_type")?;
        Ok(match stated {
            Some(2) => Self::First,
            Some(3) => Self::Last,
            _ => Self::Mean,
        })
    }
}

impl Model {
    /// The vector of a text, pooled as the file asks: near for texts that mean the like, if the model is trained for that.
    /// A model made for generation gives usable, not excellent ones.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`]; [`ModelError::ContextOverflow`](dino_models::ModelError::ContextOverflow);
    /// [`ModelError::NoHidden`](dino_models::ModelError::NoHidden) if the architecture gives logits alone.
    pub fn embed(&self, text: impl Into<Prompt>) -> Result<Embedding> {
        self.embed_pooled(text, self.pooling())
    }

    /// As [`Self::embed`], pooled as the caller asks.
    ///
    /// # Errors
    /// As those of [`Self::embed`].
    pub fn embed_pooled(&self, text: impl Into<Prompt>, pooling: Pooling) -> Result<Embedding> {
        let tokens = text.into().into_tokens(&**self.tokenizer())?;
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let limit = self.context_length();
        if tokens.len() > limit {
            let needed = tokens.len();
            return Err(dino_models::ModelError::ContextOverflow { needed, limit }.into());
        }
        let mut sum = vec![0.0; self.config().hidden];
        let mut cache = self.new_cache();
        let sequence = cache.add();
        let (mut batch, mut scratch) = (Batch::default(), Scratch::new());
        for (index, chunk) in tokens.chunks(self.prompt_chunk()).enumerate() {
            batch.clear();
            batch.push(sequence, chunk, Wanted::All);
            let rows =
                self.language_model()
                    .hidden(self.compute(), &batch, &mut cache, &mut scratch)?;
            pool(&mut sum, rows, pooling, index == 0);
        }
        let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
        let scale = if length > 0.0 { length.recip() } else { 0.0 };
        Ok(Embedding {
            vector: sum.iter().map(|value| (value * scale) as f32).collect(),
            tokens: tokens.len(),
        })
    }
}

/// Adds what `rows`, `[tokens, hidden]`, have for the vector. Its length does not matter yet.
fn pool(sum: &mut [f64], rows: ArrayView2<'_, f32>, pooling: Pooling, is_first: bool) {
    let used = match pooling {
        Pooling::Mean => rows,
        Pooling::First if is_first => rows.slice_axis_move(Axis(0), Slice::from(..1)),
        Pooling::First => return,
        Pooling::Last => {
            sum.fill(0.0);
            rows.slice_axis_move(Axis(0), Slice::from(-1..))
        }
    };
    for row in used.rows() {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
}
