//! Decides where the weights of a model will be, and how long its texts may become.

use std::path::{Path, PathBuf};

use dino_models::format::ModelFile;
use dino_models::{CausalLm, Config, Residency};

use super::memory;

/// Of the memory that is there, the share that a model takes at most without being asked: others need some too.
const SHARE: f64 = 0.9;

/// Where the weights will be, and the packed file if they need one.
#[derive(Debug, PartialEq)]
pub(super) struct Placement {
    pub(super) residency: Residency,
    pub(super) packed_cache: Option<PathBuf>,
    /// Whether the system has room for the whole file in its cache.
    pub(super) evicts: bool,
}

/// What `asked` means for `file`. A budget is what the model may take, weights and cache together.
pub(super) fn place(
    asked: Residency,
    budget: Option<usize>,
    packed_cache: Option<PathBuf>,
    file: &ModelFile,
) -> Placement {
    let weights: usize = file
        .weights
        .iter()
        .map(|tensor| tensor.storage().len())
        .sum();
    let residency = match (asked, budget.or_else(room)) {
        (Residency::Auto, Some(room))
            if weights.saturating_add(Residency::cache_share(room)) > room =>
        {
            Residency::Streamed { budget: room }
        }
        (asked, _) => asked,
    };
    let needs_file = matches!(residency, Residency::Mapped | Residency::Streamed { .. });
    let available = memory::available().unwrap_or(u64::MAX);
    Placement {
        residency,
        evicts: weights as u64 > available,
        packed_cache: packed_cache.or_else(|| needs_file.then(|| beside(&file.path))),
    }
}

fn room() -> Option<usize> {
    memory::available().map(|bytes| (bytes as f64 * SHARE) as usize)
}

/// The packed file of a model that names none: `model.gguf.packed`.
fn beside(model: &Path) -> PathBuf {
    let mut name = model.file_name().unwrap_or_default().to_owned();
    name.push(".packed");
    model.with_file_name(name)
}

/// Bytes that the cache of a model may take: what a streamed one leaves to it, else its share of the budget, else what there is.
pub(super) fn cache_room(model: &dyn CausalLm, budget: Option<usize>) -> Option<usize> {
    let share = || budget.map(Residency::cache_share);
    model.cache_room().or_else(share).or_else(room)
}

/// The context of a model that was given none: what it was trained for, or what the room for its cache holds if that is less.
pub(super) fn context_length(
    config: &Config,
    bytes_per_token: usize,
    room: Option<usize>,
) -> usize {
    let fits = room.and_then(|room| room.checked_div(bytes_per_token));
    let trained = config.context_length;
    fits.map_or(trained, |fits| {
        trained.min(fits.max(Residency::LEAST_CONTEXT))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> ModelFile {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny");
        ModelFile::open(folder.join("gqa.gguf")).unwrap()
    }

    #[test]
    fn what_fits_stays_and_what_does_not_is_streamed_from_a_file_beside_the_model() {
        let file = tiny();
        let whole = place(Residency::Auto, Some(1 << 30), None, &file);
        assert_eq!(
            whole,
            Placement {
                residency: Residency::Auto,
                packed_cache: None,
                evicts: false
            }
        );
        let streamed = place(Residency::Auto, Some(1 << 17), None, &file);
        assert_eq!(streamed.residency, Residency::Streamed { budget: 1 << 17 });
        let beside = streamed.packed_cache.unwrap();
        assert!(
            beside.ends_with("tests/golden/tiny/gqa.gguf.packed"),
            "{}",
            beside.display()
        );
        let mapped = place(Residency::Mapped, None, Some("here".into()), &file);
        assert_eq!(mapped.packed_cache, Some("here".into()));
    }

    #[test]
    fn the_context_is_what_memory_holds() {
        let config = Config {
            context_length: 8192,
            ..Config::default()
        };
        assert_eq!(context_length(&config, 1000, Some(1 << 30)), 8192);
        assert_eq!(context_length(&config, 1000, Some(2_000_000)), 2000);
        let least = context_length(&config, 1000, Some(1000));
        assert_eq!(least, Residency::LEAST_CONTEXT);
        assert_eq!(context_length(&config, 0, Some(1000)), 8192);
    }
}
