//! dino-llm, through its forward pass.

use crate::arguments::ChildArguments;
use crate::engine::Engine;
use anyhow::Result;
use dino_llm::Model;
use dino_llm::dino_models::{Batch, Cache, Scratch, SequenceId, Wanted};

pub struct Dino {
    model: Model,
    cache: Cache,
    sequences: Vec<SequenceId>,
    batch: Batch,
    scratch: Scratch,
}

impl Dino {
    pub fn load(arguments: &ChildArguments, packed: bool) -> Result<Self> {
        let mut builder = Model::builder().threads(arguments.threads);
        if packed {
            let mut name = arguments.model.file_name().unwrap_or_default().to_owned();
            name.push(".dino-peers.packed");
            builder = builder.packed_cache(std::env::temp_dir().join(name));
        }
        let model = builder.load(&arguments.model)?;
        Ok(Self {
            cache: model.new_cache(),
            model,
            sequences: Vec::new(),
            batch: Batch::default(),
            scratch: Scratch::new(),
        })
    }

    fn forward(&mut self) -> Result<()> {
        let (compute, batch) = (self.model.compute(), &self.batch);
        let model = self.model.language_model();
        Ok(model.forward(compute, batch, &mut self.cache, &mut self.scratch)?)
    }
}

impl Engine for Dino {
    fn clear(&mut self) -> Result<()> {
        for sequence in self.sequences.drain(..) {
            self.cache.remove(sequence);
        }
        Ok(())
    }

    fn prompt(&mut self, sequences: usize, tokens: &[u32]) -> Result<()> {
        self.sequences.resize_with(sequences, || self.cache.add());
        for index in 0..sequences {
            let mut pieces = tokens.chunks(self.model.prompt_chunk()).peekable();
            while let Some(piece) = pieces.next() {
                let is_last = pieces.peek().is_none();
                let wanted = if is_last {
                    Wanted::Last
                } else {
                    Wanted::Nothing
                };
                self.batch.clear();
                self.batch.push(self.sequences[index], piece, wanted);
                self.forward()?;
            }
        }
        Ok(())
    }

    fn step(&mut self, tokens: &[u32]) -> Result<u32> {
        self.batch.clear();
        for (&sequence, token) in self.sequences.iter().zip(tokens.chunks_exact(1)) {
            self.batch.push(sequence, token, Wanted::Last);
        }
        self.forward()?;
        let logits = self.scratch.logits_mut(0);
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        Ok(best.map_or(0, |(token, _)| token as u32))
    }

    fn vocabulary(&self) -> usize {
        self.model.config().vocabulary
    }

    fn describe(&self) -> String {
        format!(
            "dino-llm {} ({})",
            env!("CARGO_PKG_VERSION"),
            self.model.isa()
        )
    }
}
