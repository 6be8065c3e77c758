//! The forward pass.

use super::buffers::Buffers;
use super::weights::Transformer;
use crate::residency::Window;
use crate::{Batch, Cache, CausalLm, Config, ExpertStats, ModelError, Scratch};
use dino_core::Storage;
use dino_kernels::Compute;
use dino_kernels::ops::{self, EmbeddingTable, StateSpan};
use ndarray::ArrayView2;

impl CausalLm for Transformer {
    fn config(&self) -> &Config {
        &self.config
    }

    fn linear_shape(&self, name: &str) -> Option<[usize; 2]> {
        self.linear_shapes.get(name).copied()
    }

    fn cache_room(&self) -> Option<usize> {
        self.window.as_ref().map(Window::cache_room)
    }

    fn expert_stats(&self) -> Option<ExpertStats> {
        self.window.as_ref().and_then(Window::expert_stats)
    }

    fn forward(
        &self,
        compute: &Compute,
        batch: &Batch,
        cache: &mut Cache,
        scratch: &mut Scratch,
    ) -> Result<(), ModelError> {
        self.check(batch, cache)?;
        let rows = batch.wanted().len();
        let (buffers, logits) = scratch.prepare::<Buffers>(rows, self.config.vocabulary);
        self.run(compute, batch, cache, buffers)?;
        self.head(compute, buffers, logits);
        Ok(())
    }

    fn hidden<'s>(
        &self,
        compute: &Compute,
        batch: &Batch,
        cache: &mut Cache,
        scratch: &'s mut Scratch,
    ) -> Result<ArrayView2<'s, f32>, ModelError> {
        self.check(batch, cache)?;
        let (buffers, _) = scratch.prepare::<Buffers>(batch.wanted().len(), 0);
        self.run(compute, batch, cache, buffers)?;
        Ok(buffers.normed.view())
    }
}

impl Transformer {
    /// All but the head: leaves the wanted rows, normed, in the buffers.
    fn run(
        &self,
        compute: &Compute,
        batch: &Batch,
        cache: &mut Cache,
        buffers: &mut Buffers,
    ) -> Result<(), ModelError> {
        buffers.resize(&self.spec, batch.tokens().len(), batch.wanted().len());
        buffers.angles.clear();
        buffers.positions.clear();
        buffers.recurrent.spans.clear();
        for span in batch.spans() {
            let start = cache.len(span.sequence)?;
            cache.reserve(span.sequence, span.rows.len())?;
            let positions = start..start + span.rows.len();
            self.rotation.extend(&mut buffers.angles, positions.clone());
            buffers
                .positions
                .extend(positions.map(|position| position as u32));
            buffers.recurrent.spans.push(StateSpan {
                state: span.sequence.row(),
                rows: span.rows.clone(),
            });
        }
        Pass {
            context: Context {
                model: self,
                compute,
                batch,
            },
            cache,
            buffers,
        }
        .run()?;
        for span in batch.spans() {
            cache.advance(span.sequence, span.rows.len())?;
        }
        Ok(())
    }

    fn check(&self, batch: &Batch, cache: &Cache) -> Result<(), ModelError> {
        self.check_files()?;
        self.check_tokens(batch)?;
        self.check_positions(batch, cache)
    }

    /// Makes sure that the files that are read while the model runs are what they were.
    fn check_files(&self) -> Result<(), ModelError> {
        let packed = self.packed.as_ref().and_then(|packed| packed.get());
        let mut files = self.sources.iter().chain(packed);
        Ok(files.try_for_each(Storage::check_unchanged)?)
    }

    fn check_tokens(&self, batch: &Batch) -> Result<(), ModelError> {
        let vocabulary = self.config.vocabulary;
        match batch
            .tokens()
            .iter()
            .find(|&&token| token as usize >= vocabulary)
        {
            Some(&token) => Err(ModelError::TokenOutOfRange { token, vocabulary }),
            None => Ok(()),
        }
    }

    /// A model that learned its positions has no others.
    fn check_positions(&self, batch: &Batch, cache: &Cache) -> Result<(), ModelError> {
        let Some(table) = &self.positions else {
            return Ok(());
        };
        for span in batch.spans() {
            let (needed, limit) = (cache.len(span.sequence)? + span.rows.len(), table.rows());
            if needed > limit {
                return Err(ModelError::ContextOverflow { needed, limit });
            }
        }
        Ok(())
    }
}

/// What a pass reads.
pub(super) struct Context<'a> {
    pub(super) model: &'a Transformer,
    pub(super) compute: &'a Compute,
    pub(super) batch: &'a Batch,
}

impl Context<'_> {
    /// Whether the pass is to end here. Recurrent states of the layers before have moved on, which cannot be undone: then it
    /// does not.
    fn is_cancelled(&self) -> bool {
        self.batch.is_cancelled() && self.model.config.can_rewind()
    }
}

/// One pass and all that it touches.
pub(super) struct Pass<'a> {
    pub(super) context: Context<'a>,
    pub(super) cache: &'a mut Cache,
    pub(super) buffers: &'a mut Buffers,
}

impl Pass<'_> {
    fn run(mut self) -> Result<(), ModelError> {
        self.embed()?;
        for (index, layer) in self.context.model.layers.iter().enumerate() {
            let window = self.context.model.window.as_ref();
            if self.context.is_cancelled() {
                window.inspect(|window| window.interrupt(index));
                return Err(ModelError::Cancelled);
            }
            if let Some(window) = window {
                // Much is read from the file in each pass, and a pass may take long.
                self.context.model.check_files()?;
                window.enter(index);
            }
            self.show_stream(index);
            self.mix(index, &layer.mixer)?;
            let Some(feed_forward) = &layer.feed_forward else {
                self.add_mixed(&layer.mixer);
                continue;
            };
            // Parallel parts read the same stream: the second one before the first one adds to it.
            if self.context.model.spec.norms.parallel() {
                self.expand(feed_forward);
                self.add_mixed(&layer.mixer);
            } else {
                self.add_mixed(&layer.mixer);
                self.expand(feed_forward);
            }
            self.contract(feed_forward);
        }
        if let Some(window) = &self.context.model.window {
            window.leave();
        }
        self.show_stream(self.context.model.layers.len());
        self.norm_wanted();
        Ok(())
    }

    /// Shows the residual stream before layer `index` to whom it may interest.
    fn show_stream(&self, index: usize) {
        if let Some(observer) = &self.context.model.observer {
            observer.residual(index, self.buffers.stream.view());
        }
    }

    fn embed(&mut self) -> Result<(), ModelError> {
        let Context {
            model,
            compute,
            batch,
        } = self.context;
        let table = match &model.embedding {
            Some(table) => EmbeddingTable::Stored(table),
            None => EmbeddingTable::Packed(&model.head),
        };
        let stream = &mut self.buffers.stream;
        ops::embed(compute, table, batch.tokens(), stream.view_mut())?;
        if let Some(factor) = model.spec.embedding_scale {
            ops::scale(compute, stream.view_mut(), factor);
        }
        if let Some(table) = &model.positions {
            let Buffers {
                stream,
                branch,
                positions,
                ..
            } = &mut *self.buffers;
            let table = EmbeddingTable::Stored(table);
            ops::embed(compute, table, positions, branch.view_mut())?;
            ops::add(compute, stream.view_mut(), branch.view());
        }
        Ok(())
    }
}
