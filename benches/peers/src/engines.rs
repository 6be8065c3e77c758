//! The engines.

#[cfg(feature = "candle")]
mod candle;
mod dino;
#[cfg(feature = "llama-cpp")]
mod llama_cpp;

use crate::arguments::ChildArguments;
use crate::engine::Engine;
use anyhow::Result;
use clap::ValueEnum;
use std::fmt;

/// An engine, by the name of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    #[value(name = "dino-llm")]
    Dino,
    #[cfg(feature = "llama-cpp")]
    #[value(name = "llama.cpp")]
    LlamaCpp,
    #[cfg(feature = "llama-cpp")]
    #[value(name = "llama.cpp-fa")]
    LlamaCppFlash,
    #[cfg(feature = "candle")]
    #[value(name = "candle")]
    Candle,
}

impl EngineName {
    /// All that were compiled in.
    pub fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// The engine with the model that `arguments` names.
    pub fn load(self, arguments: &ChildArguments) -> Result<Box<dyn Engine>> {
        Ok(match self {
            Self::Dino => Box::new(dino::Dino::load(arguments)?),
            #[cfg(feature = "llama-cpp")]
            Self::LlamaCpp => Box::new(llama_cpp::LlamaCpp::load(arguments, false)?),
            #[cfg(feature = "llama-cpp")]
            Self::LlamaCppFlash => Box::new(llama_cpp::LlamaCpp::load(arguments, true)?),
            #[cfg(feature = "candle")]
            Self::Candle => Box::new(candle::Candle::load(arguments)?),
        })
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no engine is hidden");
        formatter.write_str(value.get_name())
    }
}
