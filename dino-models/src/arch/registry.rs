//! The architectures that a loader knows.

use super::{Architecture, Gemma2, Gemma3, Granite, Llama, Loader, Olmo2, Phi3, Qwen2, Qwen3};
use crate::{CausalLm, ModelError};
use std::sync::Arc;

/// Architectures by name; later ones win over earlier ones of the same name.
#[derive(Clone)]
pub struct Registry {
    architectures: Vec<Arc<dyn Architecture>>,
}

impl Default for Registry {
    /// All built-in architectures.
    fn default() -> Self {
        Self {
            architectures: vec![
                Arc::new(Gemma2),
                Arc::new(Gemma3),
                Arc::new(Granite),
                Arc::new(Llama),
                Arc::new(Olmo2),
                Arc::new(Phi3),
                Arc::new(Qwen2),
                Arc::new(Qwen3),
            ],
        }
    }
}

impl Registry {
    /// Adds an architecture.
    pub fn add(&mut self, architecture: Arc<dyn Architecture>) {
        self.architectures.push(architecture);
    }

    /// The names that are known, sorted.
    pub fn names(&self) -> Vec<String> {
        let names = self
            .architectures
            .iter()
            .flat_map(|known| known.names().iter());
        let mut names: Vec<String> = names.map(|&name| name.to_owned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Builds the model that the loader's metadata names, and makes sure that nothing of the file was ignored.
    ///
    /// # Errors
    /// [`ModelError::UnknownArchitecture`]; what the architecture's build gives; [`ModelError::UnreadKeys`] and
    /// [`ModelError::UnreadTensors`].
    pub fn build(&self, loader: &mut Loader<'_>) -> Result<Box<dyn CausalLm>, ModelError> {
        let name = loader.metadata().architecture()?;
        let found = self
            .architectures
            .iter()
            .rev()
            .find(|known| known.names().contains(&name));
        let architecture = found.ok_or_else(|| ModelError::UnknownArchitecture {
            file: loader.metadata().file().to_owned(),
            found: name.to_owned(),
            known: self.names(),
        })?;
        let model = architecture.build(loader)?;
        loader.finish()?;
        Ok(model)
    }
}
