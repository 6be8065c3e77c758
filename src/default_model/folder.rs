//! Where the default model is kept.

use std::ffi::OsString;
use std::path::PathBuf;

use super::DefaultModelError;

/// The folder that the environment names, by `DINO_CACHE` or by the platform's custom.
pub(super) fn cache(
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, DefaultModelError> {
    let folder = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let custom = || {
        let base = if cfg!(windows) {
            folder("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            folder("HOME").map(|home| home.join("Library/Caches"))
        } else {
            folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
        };
        base.map(|base| base.join("dino-llm"))
    };
    folder("DINO_CACHE")
        .or_else(custom)
        .ok_or(DefaultModelError::NoFolder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name);
        cache(|name| find(name).map(|(_, value)| value.into())).ok()
    }

    #[test]
    fn the_own_variable_goes_first_and_none_is_an_error() {
        let all = [
            ("DINO_CACHE", "here"),
            ("HOME", "home"),
            ("LOCALAPPDATA", "local"),
        ];
        assert_eq!(cache_with(&all), Some("here".into()));
        assert_eq!(cache_with(&[("DINO_CACHE", "")]), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_follows_xdg() {
        let home = ("HOME", "/home/me");
        assert_eq!(cache_with(&[home]), Some("/home/me/.cache/dino-llm".into()));
        let both = [home, ("XDG_CACHE_HOME", "/xdg")];
        assert_eq!(cache_with(&both), Some("/xdg/dino-llm".into()));
    }
}
