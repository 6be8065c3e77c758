//! candle, through candle-transformers' quantized llama.

use crate::arguments::ChildArguments;
use crate::engine::Engine;
use anyhow::{Context, Result};
use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::ModelWeights;
use std::fs::File;

pub struct Candle {
    model: ModelWeights,
    vocabulary: usize,
    len: usize,
}

impl Candle {
    /// The parent sets `RAYON_NUM_THREADS`.
    pub fn load(arguments: &ChildArguments) -> Result<Self> {
        let mut file = File::open(&arguments.model)?;
        let content = Content::read(&mut file)?;
        let table = content.tensor_infos.get("token_embd.weight");
        let vocabulary = table.context("an embedding table")?.shape.dims()[0];
        let model = ModelWeights::from_gguf(content, &mut file, &Device::Cpu)?;
        Ok(Self {
            model,
            vocabulary,
            len: 0,
        })
    }

    /// `[sequences, tokens]`, each sequence's tokens side by side.
    fn run(&mut self, tokens: &[u32], sequences: usize) -> Result<Tensor> {
        let shape = (sequences, tokens.len() / sequences);
        let tokens = Tensor::from_slice(tokens, shape, &Device::Cpu)?;
        let logits = self.model.forward(&tokens, self.len)?;
        self.len += shape.1;
        Ok(logits)
    }
}

impl Engine for Candle {
    fn clear(&mut self) -> Result<()> {
        self.model.clear_kv_cache();
        self.len = 0;
        Ok(())
    }

    fn prompt(&mut self, sequences: usize, tokens: &[u32]) -> Result<()> {
        self.run(&tokens.repeat(sequences), sequences)?;
        Ok(())
    }

    fn step(&mut self, tokens: &[u32]) -> Result<u32> {
        let logits = self.run(tokens, tokens.len())?;
        Ok(logits.get(0)?.argmax(0)?.to_scalar()?)
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn describe(&self) -> String {
        "candle-transformers 0.11.1".into()
    }
}
