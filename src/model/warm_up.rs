//! The first token's costs, paid before there is a prompt.

use std::fs::File;
use std::io::Read;

use dino_models::packed_file::PackedCache;
use dino_models::{Batch, Scratch, Wanted};

use super::{Model, memory};
use crate::Result;

/// Of a packed file, bytes that are read between two reports.
const PIECE: usize = 16 << 20;

impl Model {
    /// Pays what the first request would pay: reads the packed file through, if there is one and it fits into memory, and runs
    /// a piece of a prompt and a token, so that the weights' pages are there, the threads have been awake and the system has
    /// handed out the memory that a pass takes. No later result depends on it.
    ///
    /// Once on each machine it also measures, in less than half a second, from how many rows on which kernel is the fastest, and
    /// keeps that for all later loads ([`ModelBuilder::tuning_file`](crate::ModelBuilder::tuning_file)).
    ///
    /// Models on a disk gain most; ones that lie in memory already are warm after loading but for their first pass.
    ///
    /// # Errors
    /// What the forward pass reports. A packed file that cannot be read is left to the pass.
    pub fn warm_up(&self) -> Result<()> {
        self.warm_up_with(|_, _| {})
    }

    /// As [`Self::warm_up`]; calls `report(done, total)` after each of `total` steps.
    ///
    /// ```no_run
    /// # let model = dino_llm::Model::load("model.gguf")?;
    /// model.warm_up_with(|done, total| eprint!("\rwarming up: {done} of {total}"))?;
    /// # Ok::<(), dino_llm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As those of [`Self::warm_up`].
    pub fn warm_up_with(&self, mut report: impl FnMut(usize, usize)) -> Result<()> {
        let packed = self.packed_pages();
        let pieces = packed.as_ref().map_or(0, |(_, pieces)| *pieces);
        let context = self.context_length();
        let chunk = self.prompt_chunk().min(context.saturating_sub(1)).max(1);
        let passes: &[usize] = if chunk < context {
            &[chunk, 1]
        } else {
            &[chunk]
        };
        let untuned = usize::from(!self.tuned().is_done());
        let total = pieces + untuned + passes.len();
        if let Some((file, pieces)) = packed {
            read_through(file, pieces, |done| report(done, total));
        }
        if untuned == 1 {
            self.tuned().measure(self.compute());
            report(pieces + 1, total);
        }
        let mut cache = self.new_cache();
        let sequence = cache.add();
        let (mut batch, mut scratch) = (Batch::default(), Scratch::new());
        let vocabulary = self.config().vocabulary;
        for (pass, &tokens) in passes.iter().enumerate() {
            // From all over the vocabulary: each has its own place in the table of embeddings.
            let ids: Vec<u32> = (0..tokens)
                .map(|at| (at * vocabulary / tokens) as u32)
                .collect();
            batch.clear();
            batch.push(sequence, &ids, Wanted::Last);
            let compute = self.compute();
            self.language_model()
                .forward(compute, &batch, &mut cache, &mut scratch)?;
            report(pieces + untuned + pass + 1, total);
        }
        Ok(())
    }

    /// The packed file that the weights are pages of, and how many pieces it has; `None` if it would push others, or its own
    /// beginning, out of memory.
    fn packed_pages(&self) -> Option<(File, usize)> {
        let (PackedCache::Used(path) | PackedCache::Written(path)) = self.packed_cache() else {
            return None;
        };
        let file = File::open(path).ok()?;
        let bytes = file.metadata().ok()?.len();
        let fits = memory::available().is_none_or(|room| bytes <= room);
        let pieces = usize::try_from(bytes).ok()?.div_ceil(PIECE);
        fits.then_some((file, pieces))
    }
}

/// Reads a file so that the system has its pages at hand; whoever maps it finds them.
fn read_through(file: File, pieces: usize, mut report: impl FnMut(usize)) {
    let mut buffer = vec![0; 1 << 20];
    let mut file = file.take(0);
    for piece in 0..pieces {
        file.set_limit(PIECE as u64);
        while matches!(file.read(&mut buffer), Ok(read) if read > 0) {}
        report(piece + 1);
    }
}
