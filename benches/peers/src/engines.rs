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
    /// From a packed file that an earlier load wrote.
    #[value(name = "dino-llm-packed")]
    DinoPacked,
    #[cfg(feature = "llama-cpp")]
    #[value(name = "llama.cpp")]
    LlamaCpp,
    #[cfg(feature = "llama-cpp")]
    #[value(name = "llama.cpp-fa")]
    LlamaCppFlash,
    /// The file read rather than mapped.
    #[cfg(feature = "llama-cpp")]
    #[value(name = "llama.cpp-no-mmap")]
    LlamaCppNoMmap,
    #[cfg(feature = "candle")]
    #[value(name = "candle")]
    Candle,
}

impl EngineName {
    /// All that were compiled in; another way of loading is not another engine.
    pub fn all() -> Vec<Self> {
        let engines = Self::value_variants().iter();
        engines
            .filter(|engine| engine.loads_as().is_none())
            .copied()
            .collect()
    }

    /// The engine that this is another way of loading of.
    fn loads_as(self) -> Option<Self> {
        match self {
            Self::DinoPacked => Some(Self::Dino),
            #[cfg(feature = "llama-cpp")]
            Self::LlamaCppNoMmap => Some(Self::LlamaCpp),
            _ => None,
        }
    }

    /// This engine in all ways of loading.
    pub fn ways(self) -> impl Iterator<Item = Self> {
        let others = Self::value_variants().iter().copied();
        std::iter::once(self).chain(others.filter(move |way| way.loads_as() == Some(self)))
    }

    /// Whether it is the one whose ratio to the others is told.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Dino | Self::DinoPacked)
    }

    /// The engine with the model that `arguments` names.
    pub fn load(self, arguments: &ChildArguments) -> Result<Box<dyn Engine>> {
        Ok(match self {
            Self::Dino => Box::new(dino::Dino::load(arguments, false)?),
            Self::DinoPacked => Box::new(dino::Dino::load(arguments, true)?),
            #[cfg(feature = "llama-cpp")]
            Self::LlamaCpp => Box::new(llama_cpp::LlamaCpp::load(arguments, false, true)?),
            #[cfg(feature = "llama-cpp")]
            Self::LlamaCppFlash => Box::new(llama_cpp::LlamaCpp::load(arguments, true, true)?),
            #[cfg(feature = "llama-cpp")]
            Self::LlamaCppNoMmap => Box::new(llama_cpp::LlamaCpp::load(arguments, false, false)?),
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
