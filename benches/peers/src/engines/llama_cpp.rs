//! llama.cpp, through the crate llama-cpp-2.

use crate::arguments::ChildArguments;
use crate::engine::Engine;
use anyhow::{Result, ensure};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use std::num::NonZeroU32;

pub struct LlamaCpp {
    context: LlamaContext<'static>,
    batch: LlamaBatch<'static>,
    /// Positions of every sequence so far.
    len: usize,
    flash_attention: bool,
    vocabulary: usize,
}

/// Tokens of one call, as llama-bench sets it.
const BATCH: usize = 2048;

impl LlamaCpp {
    pub fn load(arguments: &ChildArguments, flash_attention: bool, mmap: bool) -> Result<Self> {
        let mut backend = LlamaBackend::init()?;
        backend.void_logs();
        let params = LlamaModelParams::default().with_use_mmap(mmap);
        let model = LlamaModel::load_from_file(&backend, &arguments.model, &params)?;
        // The process ends with them.
        let (backend, model): (&'static _, &'static LlamaModel) =
            (Box::leak(Box::new(backend)), Box::leak(Box::new(model)));
        let threads = i32::try_from(arguments.threads)?;
        let positions = arguments.context.next_multiple_of(256) * arguments.sequences;
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(u32::try_from(positions)?))
            .with_n_batch(BATCH as u32)
            .with_n_seq_max(u32::try_from(arguments.sequences)?)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_flash_attention_policy(flash_attention.into());
        Ok(Self {
            context: model.new_context(backend, params)?,
            batch: LlamaBatch::new(BATCH, 1),
            len: 0,
            flash_attention,
            vocabulary: usize::try_from(model.n_vocab())?,
        })
    }

    fn decode(&mut self) -> Result<()> {
        self.context.decode(&mut self.batch)?;
        self.context.synchronize();
        self.batch.clear();
        Ok(())
    }
}

impl Engine for LlamaCpp {
    fn clear(&mut self) -> Result<()> {
        self.context.clear_kv_cache();
        self.len = 0;
        Ok(())
    }

    fn prompt(&mut self, sequences: usize, tokens: &[u32]) -> Result<()> {
        for sequence in 0..i32::try_from(sequences)? {
            let mut position = self.len;
            for piece in tokens.chunks(BATCH) {
                for &token in piece {
                    position += 1;
                    let is_last = position == self.len + tokens.len();
                    let token = LlamaToken(i32::try_from(token)?);
                    self.batch
                        .add(token, i32::try_from(position - 1)?, &[sequence], is_last)?;
                }
                self.decode()?;
            }
        }
        self.len += tokens.len();
        Ok(())
    }

    fn step(&mut self, tokens: &[u32]) -> Result<u32> {
        ensure!(!tokens.is_empty(), "a token for each sequence");
        for (sequence, &token) in (0..).zip(tokens) {
            let token = LlamaToken(i32::try_from(token)?);
            self.batch
                .add(token, i32::try_from(self.len)?, &[sequence], true)?;
        }
        self.decode()?;
        self.len += 1;
        let logits = self.context.get_logits_ith(0);
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        Ok(best.map_or(0, |(token, _)| token as u32))
    }

    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn describe(&self) -> String {
        let attention = if self.flash_attention {
            ", flash attention"
        } else {
            ""
        };
        format!("llama.cpp (llama-cpp-2 0.1.160{attention})")
    }
}
