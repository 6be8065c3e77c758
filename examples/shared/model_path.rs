//! Where an example finds its model.

use std::path::{Path, PathBuf};

use dino_llm::default_model;

/// The file that was asked for, else the default model, which is fetched if it is not there.
pub(crate) fn model_path(model: Option<&Path>) -> dino_llm::Result<PathBuf> {
    if let Some(path) = model {
        return Ok(path.to_owned());
    }
    default_model::ensure(|progress| {
        let percent = 100 * progress.done / progress.total.max(1);
        let end = if percent == 100 { "\n" } else { "" };
        eprint!("\rfetching the default model: {percent} %{end}");
    })
}
