//! The architectures that a loader knows.

use super::{self as arch, Architecture, HuggingFace, Loader, Spec, hugging_face};
use crate::encoder::{self, ENCODERS};
use crate::format::{Folder, Metadata, ModelFile};
use crate::{CausalLm, ModelError};
use std::path::Path;
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
                Arc::new(arch::Arcee),
                Arc::new(arch::Cohere2),
                Arc::new(arch::CommandR),
                Arc::new(arch::Ernie45),
                Arc::new(arch::Exaone4),
                Arc::new(arch::Falcon),
                Arc::new(arch::Gemma),
                Arc::new(arch::Gemma2),
                Arc::new(arch::Gemma3),
                Arc::new(arch::Glm4),
                Arc::new(arch::Gpt2),
                Arc::new(arch::GptNeoX),
                Arc::new(arch::Granite),
                Arc::new(arch::GraniteMoe),
                Arc::new(arch::Lfm2),
                Arc::new(arch::Lfm2Moe),
                Arc::new(arch::Llama),
                Arc::new(arch::Mamba),
                Arc::new(arch::Mamba2),
                Arc::new(arch::Nemotron),
                Arc::new(arch::Olmo2),
                Arc::new(arch::Olmoe),
                Arc::new(arch::Phi2),
                Arc::new(arch::Phi3),
                Arc::new(arch::Qwen2),
                Arc::new(arch::Qwen2Moe),
                Arc::new(arch::Qwen3),
                Arc::new(arch::Qwen3Moe),
                Arc::new(arch::Qwen3Next),
                Arc::new(arch::Qwen35),
                Arc::new(arch::Qwen35Moe),
                Arc::new(arch::SeedOss),
                Arc::new(arch::GptOss),
                Arc::new(arch::Mistral3),
                Arc::new(arch::GraniteHybrid),
                Arc::new(arch::SmolLm3),
                Arc::new(arch::StableLm),
                Arc::new(arch::StarCoder),
                Arc::new(arch::StarCoder2),
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

    /// Opens a model file of any format: GGUF, the first part of a split one, or a Hugging Face folder (the folder itself
    /// or a file in it) of an architecture that is known here, or of an encoder.
    ///
    /// # Errors
    /// As those of [`ModelFile::open`]; [`ModelError::UnknownArchitecture`] for a folder of another architecture;
    /// [`ModelError::UnreadKeys`] for a key of its configuration that is not understood, and what else is wrong with it.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<ModelFile, ModelError> {
        let path = path.as_ref();
        match Folder::find(path) {
            Some(folder) => self.open_folder(Folder::open(folder)?),
            None => Ok(ModelFile::open(path)?),
        }
    }

    /// As [`Registry::open`], without looking at the tensors of a GGUF file: for its metadata, tokenizer and template.
    ///
    /// # Errors
    /// As those of [`Registry::open`].
    pub fn open_vocabulary(&self, path: impl AsRef<Path>) -> Result<ModelFile, ModelError> {
        let path = path.as_ref();
        match Folder::find(path) {
            Some(folder) => self.open_folder(Folder::open(folder)?),
            None => Ok(ModelFile::open_vocabulary(path)?),
        }
    }

    fn open_folder(&self, mut folder: Folder) -> Result<ModelFile, ModelError> {
        let found: String = folder.config.get::<&str>("model_type")?.to_owned();
        for architecture in self.architectures.iter().rev() {
            for description in architecture.hugging_face() {
                if description.model_types().contains(&found.as_str()) {
                    let name = architecture.names().first().copied().unwrap_or_default();
                    return hugging_face::translate(&mut folder, name, &description);
                }
            }
        }
        for description in encoder::hugging_face() {
            if description.model_types().contains(&found.as_str()) {
                let mut file = hugging_face::translate(&mut folder, "", &description)?;
                encoder::read_modules(&folder.path, &mut file.metadata)?;
                return Ok(file);
            }
        }
        Err(ModelError::UnknownArchitecture {
            file: folder.config.file().to_owned(),
            found,
            known: self.folder_types(),
        })
    }

    /// The `model_type`s of all folders that can be opened: of decoders, then of encoders.
    fn folder_types(&self) -> Vec<String> {
        let encoders = encoder::hugging_face();
        let encoders = encoders.iter().flat_map(HuggingFace::model_types);
        let mut types = self.model_types();
        types.extend(encoders.map(|&name| name.to_owned()));
        types
    }

    /// What Hugging Face folders of models of this architecture look like; empty if it is unknown or comes in GGUF files
    /// alone.
    pub fn descriptions(&self, architecture: &str) -> Vec<HuggingFace> {
        let mut known = self.architectures.iter().rev();
        let Some(found) = known.find(|known| known.names().contains(&architecture)) else {
            return Vec::new();
        };
        let first = found.names().first().copied();
        let mut descriptions = found.hugging_face();
        descriptions.retain(|described| described.architecture.or(first) == Some(architecture));
        descriptions
    }

    /// The `model_type`s of Hugging Face folders that are known, sorted.
    pub fn model_types(&self) -> Vec<String> {
        let described = self
            .architectures
            .iter()
            .flat_map(|known| known.hugging_face());
        let types = described.flat_map(|described| described.model_types().to_vec());
        let mut types: Vec<String> = types.map(str::to_owned).collect();
        types.sort();
        types.dedup();
        types
    }

    /// Builds the model that the loader's metadata names, and makes sure that nothing of the file was ignored.
    ///
    /// # Errors
    /// [`ModelError::UnknownArchitecture`]; what the architecture's build gives; [`ModelError::UnreadKeys`] and
    /// [`ModelError::UnreadTensors`].
    pub fn build(&self, loader: &mut Loader<'_>) -> Result<Box<dyn CausalLm>, ModelError> {
        let architecture = self.find(loader.metadata())?;
        let model = architecture.build(loader)?;
        loader.finish()?;
        Ok(model)
    }

    /// What the metadata describes, without its weights.
    ///
    /// # Errors
    /// [`ModelError::UnknownArchitecture`]; what [`Architecture::spec`] gives.
    pub fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        self.find(metadata)?.spec(metadata)
    }

    /// The architecture that the metadata names.
    fn find(&self, metadata: &Metadata) -> Result<&Arc<dyn Architecture>, ModelError> {
        let name = metadata.architecture()?;
        let found = self
            .architectures
            .iter()
            .rev()
            .find(|known| known.names().contains(&name));
        if found.is_none() && ENCODERS.contains(&name) {
            return Err(ModelError::IsEncoder {
                file: metadata.file().to_owned(),
                found: name.to_owned(),
            });
        }
        found.ok_or_else(|| ModelError::UnknownArchitecture {
            file: metadata.file().to_owned(),
            found: name.to_owned(),
            known: self.names(),
        })
    }
}
