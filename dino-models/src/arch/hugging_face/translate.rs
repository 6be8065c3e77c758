//! From a folder to the metadata and weights that a loader reads.

use super::describe::{HuggingFace, Key};
use super::inert::INERT;
use super::tensors;
use crate::ModelError;
use crate::arch::spec::layer_count;
use crate::format::{Folder, FormatError, FromValue, Metadata, ModelFile, Value, Weights};
use crate::tokenizer::read_folder;
use dino_core::{DType, Storage, Tensor};

/// A configuration on its way to metadata.
pub struct Translation<'a> {
    /// What `config.json` says.
    pub config: FolderConfig<'a>,
    /// What it is described by.
    pub description: &'a HuggingFace,
    metadata: Metadata,
    /// Tensors that the configuration holds, not the safetensors files.
    tensors: Vec<(&'static str, Tensor)>,
}

/// Lookups in `config.json`, in its nested object first if the description has one. They record what was read.
#[derive(Clone, Copy)]
pub struct FolderConfig<'a> {
    metadata: &'a Metadata,
    nested: Option<&'static str>,
}

impl<'a> FolderConfig<'a> {
    /// The full name of a key, whether it is there or not.
    pub fn name(&self, key: &str) -> String {
        let inside = self.nested.map(|object| format!("{object}.{key}"));
        match inside {
            Some(inside) if self.metadata.contains(&inside) => inside,
            Some(inside) if !self.metadata.contains(key) => inside,
            _ => key.into(),
        }
    }

    /// The value of a key that must be there.
    ///
    /// # Errors
    /// If it is missing or of another type.
    pub fn get<T: FromValue<'a>>(&self, key: &str) -> Result<T, FormatError> {
        self.metadata.get(&self.name(key))
    }

    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// If it is of another type.
    pub fn maybe<T: FromValue<'a>>(&self, key: &str) -> Result<Option<T>, FormatError> {
        self.metadata.maybe(&self.name(key))
    }

    /// The value of a key, of whatever type.
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.metadata.value(&self.name(key))
    }

    /// Whether a key is there. Does not count as reading it.
    pub fn contains(&self, key: &str) -> bool {
        self.metadata.contains(&self.name(key))
    }

    /// Whether a key beside the nested object only says again what the object says.
    fn is_repeated(&self, key: &str) -> bool {
        let inside = self.nested.map(|object| format!("{object}.{key}"));
        let said = |key: &str| self.metadata.peek(key).map(ToString::to_string);
        inside.is_some_and(|inside| said(&inside).is_some() && said(&inside) == said(key))
    }

    /// Whether there is an object of this name. Does not count as reading it.
    pub fn has_object(&self, key: &str) -> bool {
        let inside = format!("{}.", self.nested.unwrap_or_default());
        let start = format!("{key}.");
        self.metadata.iter().any(|(name, _)| {
            let name = name.strip_prefix(&inside).unwrap_or(name);
            name.starts_with(&start)
        })
    }
}

impl Translation<'_> {
    /// The metadata as far as it is.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Sets the model's key `ours` (without its architecture). Errors about it will name the configuration's `theirs`.
    ///
    /// # Errors
    /// If the architecture is unknown, which it is not.
    pub fn set_from(
        &mut self,
        theirs: &str,
        ours: &str,
        value: impl Into<Value>,
    ) -> Result<(), ModelError> {
        let key = format!("{}.{ours}", self.metadata.architecture()?);
        self.metadata
            .insert_from(self.config.name(theirs), key, value);
        Ok(())
    }

    /// Adds the vector `name` of the model, computed from the configuration.
    ///
    /// # Errors
    /// If it is empty.
    pub fn add_vector(&mut self, name: &'static str, values: &[f32]) -> Result<(), ModelError> {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let storage = Storage::from_vec(bytes);
        let tensor = Tensor::new(name, DType::F32, &[values.len()], storage)?;
        self.tensors.push((name, tensor));
        Ok(())
    }

    /// The error that `key` says `found`, which no model can have.
    pub fn impossible(&self, key: &str, found: &str, expected: &str) -> ModelError {
        ModelError::Impossible {
            file: self.metadata.file().to_owned(),
            key: self.config.name(key),
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// The error that `key` says `found`, which changes the numbers in a way that is not implemented.
    pub fn unsupported(&self, key: &str, found: &str) -> ModelError {
        ModelError::Unsupported {
            file: self.metadata.file().to_owned(),
            key: self.config.name(key),
            found: found.into(),
        }
    }

    fn key(&mut self, name: &'static str, meaning: &Key) -> Result<(), ModelError> {
        let value = self.config.value(name);
        match (meaning, value) {
            (Key::Required(ours) | Key::Optional(ours), Some(value)) => {
                for ours in ours {
                    self.set_from(name, ours, value.clone())?;
                }
                Ok(())
            }
            (Key::Required(_), None) => self
                .config
                .get::<&str>(name)
                .map(|_| ())
                .map_err(Into::into),
            (Key::Only(allowed), Some(value)) => {
                let shown = value.to_string();
                if allowed.iter().any(|allowed| allowed.to_string() == shown) {
                    return Ok(());
                }
                Err(self.unsupported(name, &shown))
            }
            _ => Ok(()),
        }
    }

    /// Makes sure that every key of the configuration was read or is known to change nothing.
    fn finish(&self) -> Result<(), ModelError> {
        let inert = self.description.keys.iter();
        let inert = inert.filter_map(|(name, key)| matches!(key, Key::Inert).then_some(*name));
        let inert: Vec<&str> = inert.chain(INERT.iter().copied()).collect();
        let nested = self.config.nested.map(|object| format!("{object}."));
        let matters = |key: &&str| {
            let inside = nested
                .as_deref()
                .and_then(|object| key.strip_prefix(object));
            let inside = inside.unwrap_or(key);
            if self.config.is_repeated(key) {
                return false;
            }
            !inert.iter().any(|name| {
                let rest = inside.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let unread = self.config.metadata.unread();
        let keys: Vec<_> = unread.filter(matters).map(str::to_owned).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let file = self.metadata.file().to_owned();
        Err(ModelError::UnreadKeys { file, keys })
    }
}

/// The model that `folder` holds, as `description` has it, of the architecture `name`.
pub(in crate::arch) fn translate(
    folder: &mut Folder,
    name: &str,
    description: &HuggingFace,
) -> Result<ModelFile, ModelError> {
    let mut metadata = Metadata::new(folder.config.file());
    let name = description.architecture.unwrap_or(name);
    metadata.insert_from("model_type", "general.architecture", name);
    set_defaults(&mut folder.config, description);
    let described = described(folder, description)?;
    let description = &described;
    let mut translation = Translation {
        config: FolderConfig {
            metadata: &folder.config,
            nested: description.nested,
        },
        description,
        metadata,
        tensors: Vec::new(),
    };
    check_classes(&translation)?;
    for (name, meaning) in &description.keys {
        translation.key(name, meaning)?;
    }
    // Hooks make lists of one value a layer.
    if translation
        .metadata
        .scoped()?
        .value("block_count")
        .is_some()
    {
        layer_count(&translation.metadata)?;
    }
    for hook in &description.hooks {
        hook(&mut translation)?;
    }
    let mut weights = Weights::new(&folder.weights_file);
    tensors::translate(folder, &translation, &mut weights)?;
    translation.finish()?;
    for (_, tensor) in translation.tensors {
        weights.insert(tensor)?;
    }
    let mut metadata = translation.metadata;
    read_folder(&folder.path, &mut metadata)?;
    Ok(ModelFile {
        metadata,
        weights,
        path: folder.path.clone(),
    })
}

/// The description with what it says of configurations such as this one.
fn described(folder: &Folder, description: &HuggingFace) -> Result<HuggingFace, ModelError> {
    let config = FolderConfig {
        metadata: &folder.config,
        nested: description.nested,
    };
    let mut described = description.clone();
    for (holds, change) in &description.variants {
        if holds(&config)? {
            described = change(described);
        }
    }
    Ok(described)
}

/// Puts what `transformers` takes for missing keys into the configuration.
fn set_defaults(config: &mut Metadata, description: &HuggingFace) {
    for (key, value) in &description.defaults {
        let inside = description.nested.map(|object| format!("{object}.{key}"));
        let there = config.contains(key) || inside.is_some_and(|inside| config.contains(&inside));
        if !there {
            config.insert(*key, value.clone());
            // Nobody wrote it, so nobody has to read it.
            config.value(key);
        }
    }
}

/// The class that a folder was saved by says what its head is.
fn check_classes(translation: &Translation<'_>) -> Result<(), ModelError> {
    // The nested object's own type was not what the description was chosen by.
    for key in ["model_type", "architectures"] {
        translation.config.value(key);
        translation.config.metadata.value(key);
    }
    let Some(classes) = translation
        .config
        .metadata
        .maybe::<&crate::format::StringArray>("architectures")?
    else {
        return Ok(());
    };
    let known = &translation.description.classes;
    let fits = |class: &[u8]| known.iter().any(|known| known.as_bytes() == class);
    match classes.iter().find(|class| !fits(class)) {
        None => Ok(()),
        Some(class) => {
            Err(translation.unsupported("architectures", &String::from_utf8_lossy(class)))
        }
    }
}
