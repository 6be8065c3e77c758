//! The options with which examples load a model, the same in all of them.

#[path = "model_path.rs"]
mod model_path;

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use dino_llm::dino_core::DType;
use dino_llm::dino_quant::{BlockRequantizer, QuantError};
use dino_llm::quantize::int8_mode;
use dino_llm::{
    ByteSize, Int8, KvType, Model, ModelBuilder, Power, Residency, RopeKind, RopeOverride,
};

/// How the model is loaded.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct Loading {
    /// The model file or folder; a small default model if missing, which is fetched once.
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Threads; one a core if missing.
    #[arg(
        short,
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    threads: usize,
    /// Use half of the cores, and let threads sleep whenever they have nothing to do: less energy and heat.
    #[arg(long)]
    low_power: bool,
    /// Tokens that prompt and answer may have together; all that the model was trained for if missing.
    #[arg(short, long, value_name = "TOKENS")]
    ctx: Option<usize>,
    /// Compute in f32 alone, without rounding to 8 and 16 bits on the way: slow and precise.
    #[arg(long)]
    precise: bool,
    /// Run linear layers on plain 8-bit integers: `dynamic`, `asymmetric` (dynamic, too) or a file that `quantize --int8` wrote.
    #[arg(long, value_name = "MODE", value_parser = int8_mode)]
    int8: Option<Int8>,
    /// Hold the weights in this type, such as Q8_0, whatever the file or folder has; they are re-encoded one by one.
    #[arg(long, value_name = "TYPE")]
    quantize: Option<DType>,
    /// Type of cached keys: f32, f16, bf16, q8_0 or q4_0; if missing the one of 16 bits that is fastest here, with --precise f32.
    #[arg(long, value_name = "TYPE")]
    cache_type_k: Option<KvType>,
    /// Type of cached values.
    #[arg(long, value_name = "TYPE")]
    cache_type_v: Option<KvType>,
    /// Keep the weights in this file as the kernels read them, or take them from it: later loads start at once.
    #[arg(long, value_name = "FILE")]
    packed_cache: Option<PathBuf>,
    /// The most memory for weights and cache, such as 512MB or 2GB: what does not fit comes and goes as it is run.
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<ByteSize>,
    /// Leave the weights as the file has them: starts at once and takes no memory of its own, but runs several times as slowly.
    #[arg(long)]
    no_repack: bool,
    /// Tokens of a prompt that are run at once; chosen by the model's size if missing.
    #[arg(long, value_name = "TOKENS")]
    prompt_chunk: Option<usize>,
    #[command(flatten)]
    rope: Rope,
}

/// How positions are stretched; the names are those of llama.cpp.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Longer contexts")]
struct Rope {
    /// Stretch the context instead of as the file says: none, linear or yarn.
    #[arg(long, value_name = "KIND")]
    rope_scaling: Option<RopeKind>,
    /// How many times as long the context becomes.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1.0,
        requires = "rope_scaling"
    )]
    rope_scale: f32,
    /// The base of the frequencies.
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    rope_freq_base: Option<f32>,
    /// Positions that the model was trained for; those that the file says if missing.
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    yarn_orig_ctx: Option<usize>,
    /// What rotated queries and keys are multiplied by.
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    yarn_attn_factor: Option<f32>,
    /// Turns in the original context from which on a plane is kept as it is.
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    yarn_beta_fast: Option<f32>,
    /// Turns below which a plane is stretched by the whole factor.
    #[arg(long, value_name = "N", requires = "rope_scaling")]
    yarn_beta_slow: Option<f32>,
}

impl Loading {
    /// The model's file or folder.
    pub(crate) fn path(&self) -> dino_llm::Result<PathBuf> {
        model_path::model_path(self.model.as_deref())
    }

    /// A builder with what the options say.
    pub(crate) fn builder(&self) -> Result<ModelBuilder, QuantError> {
        let mut builder = Model::builder().threads(self.threads).precise(self.precise);
        if self.low_power {
            builder = builder.power(Power::Low);
        }
        if let Some(tokens) = self.ctx {
            builder = builder.context_length(tokens);
        }
        if let Some(int8) = &self.int8 {
            builder = builder.int8(int8.clone());
        }
        if let Some(dtype) = self.quantize {
            builder = builder.requantize(BlockRequantizer::new(dtype)?);
        }
        if let Some(path) = &self.packed_cache {
            builder = builder.packed_cache(path);
        }
        if let Some(budget) = self.memory_budget {
            builder = builder.memory_budget(budget.as_usize());
        }
        if self.no_repack {
            builder = builder.residency(Residency::Unpacked);
        }
        if let Some(tokens) = self.prompt_chunk {
            builder = builder.prompt_chunk(tokens);
        }
        if let Some(rope) = self.rope.scaling() {
            builder = builder.rope_scaling(rope);
        }
        let builder = builder.kv_cache_types(self.cache_type_k, self.cache_type_v);
        Ok(with_progress(builder))
    }
}

impl Rope {
    fn scaling(&self) -> Option<RopeOverride> {
        let mut rope = match self.rope_scaling? {
            RopeKind::Linear => RopeOverride::linear(self.rope_scale),
            RopeKind::Yarn => RopeOverride::yarn(self.rope_scale),
            _ => RopeOverride::unscaled(),
        };
        rope.original_context = self.yarn_orig_ctx;
        rope.base = self.rope_freq_base;
        rope.attention_factor = self.yarn_attn_factor;
        (rope.beta_fast, rope.beta_slow) = (self.yarn_beta_fast, self.yarn_beta_slow);
        Some(rope)
    }
}

/// Shows how far loading is to somebody who watches.
fn with_progress(builder: ModelBuilder) -> ModelBuilder {
    if !io::stderr().is_terminal() {
        return builder;
    }
    builder.on_progress(|progress| {
        let percent = 100 * progress.done / progress.total.max(1);
        let end = if progress.done == progress.total {
            "\r\x1b[K"
        } else {
            ""
        };
        eprint!("\rloading {percent:3} %{end}");
    })
}
