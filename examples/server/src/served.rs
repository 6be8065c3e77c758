//! What clients may name as `model`: the model itself, it with an adapter, or an encoder.

use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;
use dino_llm::{Adapter, Embedder, Model};
use serde_json::{Value as Json, json};

use crate::error::ApiError;
use crate::options::Options;
use crate::state::App;

/// Names, and what they mean.
pub(crate) struct Served {
    /// The name of the model without an adapter.
    pub(crate) base: String,
    adapters: Vec<(String, Arc<Adapter>)>,
    /// What answers `/v1/embeddings`, if it is not the model.
    pub(crate) embedder: Option<(String, Embedder)>,
}

/// What one request asks for.
#[derive(Clone)]
pub(crate) struct Choice {
    pub(crate) name: String,
    pub(crate) adapter: Option<Arc<Adapter>>,
}

impl Served {
    /// Loads what is to be served beside the model.
    ///
    /// # Errors
    /// If an adapter or encoder cannot be loaded, or two names are the same.
    pub(crate) fn load(
        model: &Model,
        base: String,
        options: &Options,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let mut served = Self {
            base,
            adapters: Vec::new(),
            embedder: None,
        };
        for lora in &options.lora {
            served.check_new(&lora.name)?;
            let adapter = model.adapter(&lora.path, 1.0)?;
            served.adapters.push((lora.name.clone(), adapter));
        }
        if let Some(file) = &options.embedding_model {
            let name = stem(file);
            served.check_new(&name)?;
            let embedder = Embedder::builder().threads(options.threads);
            served.embedder = Some((name, embedder.truncate(false).load(file)?));
        }
        Ok(served)
    }

    fn check_new(&self, name: &str) -> Result<(), String> {
        let mut adapters = self.adapters.iter();
        if name == self.base || adapters.any(|(known, _)| known == name) {
            return Err(format!("two models are called `{name}`"));
        }
        Ok(())
    }

    /// All names, the model's first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let adapters = self.adapters.iter().map(|(name, _)| name.as_str());
        let embedder = self.embedder.iter().map(|(name, _)| name.as_str());
        [self.base.as_str()]
            .into_iter()
            .chain(adapters)
            .chain(embedder)
    }

    /// What `asked` means for texts; the model where nothing is asked for.
    ///
    /// # Errors
    /// If nothing that writes is called so.
    pub(crate) fn writer(&self, asked: Option<&str>) -> Result<Choice, ApiError> {
        let name = asked.unwrap_or(&self.base);
        let mut adapters = self.adapters.iter();
        let adapter = match adapters.find(|(known, _)| known == name) {
            Some((_, adapter)) => Some(Arc::clone(adapter)),
            None if name == self.base => None,
            None => return Err(self.unknown(name)),
        };
        let name = name.to_owned();
        Ok(Choice { name, adapter })
    }

    /// The encoder, if it is what `asked` means for vectors: by its name, or where nothing is asked for.
    ///
    /// # Errors
    /// If nothing is called so, or what is called so is an adapter.
    pub(crate) fn reader(&self, asked: Option<&str>) -> Result<Option<&Embedder>, ApiError> {
        match (&self.embedder, asked) {
            (Some((_, embedder)), None) => Ok(Some(embedder)),
            (Some((name, embedder)), Some(asked)) if name == asked => Ok(Some(embedder)),
            (_, Some(asked)) if asked != self.base => Err(match self.writer(Some(asked)) {
                Ok(_) => ApiError::bad("model", "vectors are made without adapters"),
                Err(unknown) => unknown,
            }),
            _ => Ok(None),
        }
    }

    /// The error that nothing is called so.
    pub(crate) fn unknown(&self, asked: &str) -> ApiError {
        let names: Vec<_> = self.names().map(|name| format!("`{name}`")).collect();
        let message = format!("there is no model `{asked}`; there is {}", names.join(", "));
        ApiError::new(StatusCode::NOT_FOUND, message)
            .param("model")
            .code("model_not_found")
    }
}

impl App {
    /// One of the served names as `/v1/models` lists it.
    pub(crate) fn describe(&self, name: &str) -> Json {
        let served = &self.served;
        let mut entry = json!({
            "id": name,
            "object": "model",
            "created": self.started,
            "owned_by": "dino-llm",
            "max_model_len": self.engine.context_length(),
        });
        if let Some((_, embedder)) = served.embedder.as_ref().filter(|(known, _)| known == name) {
            entry["max_model_len"] = embedder.context_length().into();
        } else if name != served.base {
            entry["parent"] = served.base.as_str().into();
        }
        entry
    }
}

/// The name of a model whose file or folder this is.
pub(crate) fn stem(file: &Path) -> String {
    let name = match file.is_dir() {
        true => file.file_name(),
        false => file.file_stem(),
    };
    name.unwrap_or_default().to_string_lossy().into_owned()
}
