//! Hugging Face folders: `config.json` and safetensors files.

use super::safetensors::{self, RawTensor};
use super::{FormatError, Metadata, json};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The most bytes of an index.
const MAX_INDEX: u64 = 256 << 20;

/// A folder as it is on the disk, under Hugging Face's names.
#[derive(Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// What `config.json` says, with objects inside objects as `rope_scaling.factor`.
    pub config: Metadata,
    pub(crate) tensors: IndexMap<String, RawTensor>,
    /// The file that errors about tensors name.
    pub(crate) weights_file: PathBuf,
}

impl Folder {
    /// The folder that `path` is or lies in: a folder with a `config.json`, or a safetensors file, an index or the
    /// configuration itself in one; `None` if it is neither.
    pub fn find(path: &Path) -> Option<PathBuf> {
        if path.is_dir() {
            return path.join(CONFIG).is_file().then(|| path.into());
        }
        let name = path.file_name()?.to_str()?;
        let inside = name == CONFIG || name == INDEX || name.ends_with(".safetensors");
        let folder = path.parent()?;
        (inside && folder.join(CONFIG).is_file()).then(|| folder.into())
    }

    /// Reads the configuration and maps the tensors of the folder `path`.
    ///
    /// # Errors
    /// If a file is missing or damaged; the error names it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FormatError> {
        let path = path.into();
        let config = json::metadata(&path.join(CONFIG))?;
        let single = path.join(SINGLE);
        let index = path.join(INDEX);
        let (weights_file, mut tensors) = if index.is_file() {
            let tensors = sharded(&path, &index)?;
            (index, tensors)
        } else if single.is_file() {
            let tensors = safetensors::open(&single)?;
            (single, tensors)
        } else {
            return Err(FormatError::Lacking {
                folder: path,
                wanted: "model.safetensors or model.safetensors.index.json",
                advice: "download it too; PyTorch's .bin and .pth files are not read here",
            });
        };
        safetensors::join_microscaled(&weights_file, &mut tensors)?;
        Ok(Self {
            path,
            config,
            tensors,
            weights_file,
        })
    }
}

/// Whether it is the bare name of a file on every system: one with a folder or a drive in it could lead outside.
fn is_plain(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '\0'])
}

/// The tensors that an index names, each in the file that it says.
fn sharded(folder: &Path, index: &Path) -> Result<IndexMap<String, RawTensor>, FormatError> {
    let map_of = json::read(index, MAX_INDEX)?;
    let wrong = |key: &str, expected: &str| FormatError::WrongType {
        file: index.into(),
        key: key.into(),
        expected: expected.into(),
        found: "something else".into(),
    };
    let entries = map_of.get("weight_map").and_then(|map| map.as_object());
    let entries = entries.ok_or_else(|| wrong("weight_map", "an object"))?;
    let mut shards: IndexMap<&str, IndexMap<String, RawTensor>> = IndexMap::new();
    for (name, file) in entries {
        let file = file.as_str().filter(|file| is_plain(file));
        let file = file.ok_or_else(|| wrong(name, "the name of a file in the folder"))?;
        if !shards.contains_key(file) {
            shards.insert(file, safetensors::open(&folder.join(file))?);
        }
    }
    let mut tensors = IndexMap::with_capacity(entries.len());
    for (shard, content) in shards {
        for (name, tensor) in content {
            if entries.get(&name).and_then(|file| file.as_str()) != Some(shard) {
                return Err(wrong(&name, &format!("{shard}, which holds the tensor")));
            }
            tensors.insert(name, tensor);
        }
    }
    let missing = entries.keys().find(|&name| !tensors.contains_key(name));
    match missing {
        None => Ok(tensors),
        Some(name) => Err(FormatError::MissingTensor {
            file: folder.join(entries.get(name).and_then(|f| f.as_str()).unwrap_or("")),
            tensor: name.clone(),
            similar: None,
        }),
    }
}
