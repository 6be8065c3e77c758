//! Texts as vectors.

use dino_models::encoder::{Pool, Pooling};
use dino_models::{Batch, Cache, ModelError, Scratch, SequenceId, Wanted};
use ndarray::{Axis, Slice};

use super::Model;
use crate::{Error, Prompt, Result};

/// A text as a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Of length 1, `[hidden]`.
    pub vector: Vec<f32>,
    /// Tokens of the text.
    pub tokens: usize,
}

/// A text on its way through the model.
struct Text {
    tokens: Vec<u32>,
    /// While it runs.
    sequence: Option<SequenceId>,
    seen: usize,
    pool: Pool,
}

impl Model {
    /// The vector of a text, pooled as the file asks: near for texts that mean the like, if the model is trained for that.
    /// A model made for generation gives usable, not excellent ones.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`]; [`ModelError::ContextOverflow`];
    /// [`ModelError::NoHidden`] if the architecture gives logits alone.
    pub fn embed(&self, text: impl Into<Prompt>) -> Result<Embedding> {
        self.embed_pooled(text, self.pooling())
    }

    /// As [`Self::embed`], pooled as the caller asks.
    ///
    /// # Errors
    /// As those of [`Self::embed`].
    pub fn embed_pooled(&self, text: impl Into<Prompt>, pooling: Pooling) -> Result<Embedding> {
        let mut vectors = self.embed_batch_pooled([text], pooling)?;
        vectors.pop().ok_or(Error::EmptyPrompt)
    }

    /// The vectors of many texts, in their order, each the same as alone: several texts, or pieces of them, share each
    /// pass of the model.
    ///
    /// # Errors
    /// As those of [`Self::embed`], for the first text that cannot be read.
    pub fn embed_batch<P: Into<Prompt>>(
        &self,
        texts: impl IntoIterator<Item = P>,
    ) -> Result<Vec<Embedding>> {
        self.embed_batch_pooled(texts, self.pooling())
    }

    /// As [`Self::embed_batch`], pooled as the caller asks.
    ///
    /// # Errors
    /// As those of [`Self::embed_batch`].
    pub fn embed_batch_pooled<P: Into<Prompt>>(
        &self,
        texts: impl IntoIterator<Item = P>,
        pooling: Pooling,
    ) -> Result<Vec<Embedding>> {
        let texts = texts.into_iter().map(|text| {
            let tokens = self.tokens_to_embed(text.into())?;
            Ok(Text {
                tokens,
                sequence: None,
                seen: 0,
                pool: Pool::new(pooling, self.config().hidden),
            })
        });
        let mut texts = texts.collect::<Result<Vec<_>>>()?;
        let (mut cache, mut batch, mut scratch) =
            (self.new_cache(), Batch::default(), Scratch::new());
        let mut rest = texts.as_mut_slice();
        while !rest.is_empty() {
            let taken = self.embed_some(rest, &mut cache, (&mut batch, &mut scratch))?;
            rest = &mut rest[taken..];
        }
        Ok(texts.into_iter().map(Embedding::from).collect())
    }

    fn tokens_to_embed(&self, text: Prompt) -> Result<Vec<u32>> {
        let tokens = text.into_tokens(&**self.tokenizer())?;
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let (needed, limit) = (tokens.len(), self.context_length());
        if needed > limit {
            return Err(ModelError::ContextOverflow { needed, limit }.into());
        }
        Ok(tokens)
    }

    /// Runs as much of the first of `texts` as one pass takes, and says how many of them are done.
    fn embed_some(
        &self,
        texts: &mut [Text],
        cache: &mut Cache,
        (batch, scratch): (&mut Batch, &mut Scratch),
    ) -> Result<usize> {
        batch.clear();
        let mut room = self.prompt_chunk();
        for text in &mut *texts {
            let unseen = &text.tokens[text.seen..];
            let piece = &unseen[..unseen.len().min(room)];
            let sequence = *text.sequence.get_or_insert_with(|| cache.add());
            batch.push(sequence, piece, Wanted::All);
            room -= piece.len();
            if room == 0 {
                break;
            }
        }
        let rows = (self.language_model()).hidden(self.compute(), batch, cache, scratch)?;
        let mut done = 0;
        for (span, text) in batch.spans().iter().zip(texts) {
            text.seen += span.rows.len();
            let rows = rows.slice_axis(Axis(0), Slice::from(span.rows.clone()));
            text.pool.push(rows);
            if text.seen == text.tokens.len() {
                cache.remove(span.sequence);
                done += 1;
            }
        }
        Ok(done)
    }
}

impl From<Text> for Embedding {
    fn from(text: Text) -> Self {
        Self {
            vector: text.pool.unit(),
            tokens: text.tokens.len(),
        }
    }
}
