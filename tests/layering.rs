//! The order of the house: imports go one way, and `unsafe` stays in its rooms.
//!
//! `dino-core ← dino-kernels ← {dino-quant, dino-models} ← dino-llm`. The checks read the manifests and the
//! sources as text, so that they see what is written for every platform and feature, not only what is compiled here.

use std::fs;
use std::path::{Path, PathBuf};

/// One crate of the workspace.
struct Crate {
    /// Where its manifest lies, from the root.
    folder: &'static str,
    /// Folders or files with its sources, from `folder`.
    sources: &'static [&'static str],
    /// Those of [`NAMES`] that it may import, itself included.
    imports: &'static [&'static str],
    /// What it says of `unsafe`, and where the word may stand.
    policy: Policy,
}

enum Policy {
    /// `#![forbid(unsafe_code)]`: nowhere.
    Forbid,
    /// `#![deny(unsafe_code)]`: in these files only.
    Rooms(&'static [&'static str]),
    /// In all its sources.
    Free,
}

/// The library names of the house, from the ground up.
const NAMES: [&str; 5] = [
    "dino_core",
    "dino_kernels",
    "dino_quant",
    "dino_models",
    "dino_llm",
];

const EVERY_FOLDER: &[&str] = &["src", "tests", "benches", "examples", "build.rs"];

const HOUSE: [Crate; 7] = [
    Crate {
        folder: "dino-core",
        sources: EVERY_FOLDER,
        imports: &["dino_core"],
        policy: Policy::Rooms(&[
            "dino-core/src/blocks/pod.rs",
            "dino-core/src/storage/aligned.rs",
            "dino-core/src/storage/arena.rs",
            "dino-core/src/storage/mapped.rs",
        ]),
    },
    Crate {
        folder: "dino-kernels",
        sources: EVERY_FOLDER,
        imports: &["dino_core", "dino_kernels"],
        policy: Policy::Free,
    },
    Crate {
        folder: "dino-quant",
        sources: EVERY_FOLDER,
        imports: &["dino_core", "dino_kernels", "dino_quant"],
        policy: Policy::Forbid,
    },
    Crate {
        folder: "dino-models",
        sources: EVERY_FOLDER,
        imports: &["dino_core", "dino_kernels", "dino_models"],
        policy: Policy::Forbid,
    },
    Crate {
        folder: "benches",
        sources: &["."],
        imports: &NAMES,
        policy: Policy::Forbid,
    },
    Crate {
        folder: "examples/server",
        sources: EVERY_FOLDER,
        imports: &["dino_llm"],
        policy: Policy::Forbid,
    },
    Crate {
        folder: ".",
        sources: &["src", "tests", "examples", "fuzz", "build.rs"],
        imports: &NAMES,
        policy: Policy::Forbid,
    },
];

#[test]
fn manifests_import_only_what_lies_below() {
    for member in &HOUSE {
        let path = Path::new(member.folder).join("Cargo.toml");
        let manifest = read(&path);
        let found = upward(member, &dependencies(&manifest));
        assert!(
            found.is_empty(),
            "{}: depends upward on {found:?}",
            path.display()
        );
    }
}

#[test]
fn sources_import_only_what_lies_below() {
    for member in &HOUSE {
        for path in sources(member) {
            let source = read(&path);
            let found = upward(member, &words(&source));
            assert!(
                found.is_empty(),
                "{}: names {found:?}, which lies above",
                path.display()
            );
        }
    }
}

#[test]
fn unsafe_stays_in_its_rooms() {
    for member in &HOUSE {
        let rooms = match member.policy {
            Policy::Forbid => &[][..],
            Policy::Rooms(rooms) => rooms,
            Policy::Free => continue,
        };
        for path in sources(member) {
            let is_room = rooms.iter().any(|room| path.ends_with(room));
            let is_unsafe = has_unsafe(&read(&path));
            assert!(
                is_room || !is_unsafe,
                "{}: `unsafe` outside its rooms",
                path.display()
            );
            assert!(
                !is_room || is_unsafe,
                "{}: a room without `unsafe`: take it off the list",
                path.display()
            );
        }
        for room in rooms {
            assert!(root().join(room).is_file(), "{room}: no such room");
        }
    }
}

#[test]
fn every_crate_says_what_it_thinks_of_unsafe() {
    for member in &HOUSE {
        let level = match member.policy {
            Policy::Forbid => "forbid",
            Policy::Rooms(_) => "deny",
            Policy::Free => continue,
        };
        let folder = Path::new(member.folder);
        let roots = ["src/lib.rs", "lib.rs", "src/main.rs"];
        let library = roots.map(|root| folder.join(root));
        let Some(library) = library.iter().find(|path| root().join(path).is_file()) else {
            panic!("{}: no crate root", member.folder);
        };
        let says = says_of_unsafe(level, &read(library));
        assert!(
            says,
            "{}: lacks #![{level}(unsafe_code)]",
            library.display()
        );
    }
}

/// Every crate of the workspace stands in [`HOUSE`].
#[test]
fn no_crate_is_forgotten() {
    let manifest = read(Path::new("Cargo.toml"));
    let members = manifest.lines().find(|line| line.starts_with("members"));
    let members = members.expect("Cargo.toml lists its members on one line");
    let known = HOUSE.iter().map(|member| member.folder);
    for member in members.split('"').skip(1).step_by(2) {
        assert!(
            known.clone().any(|folder| folder == member),
            "{member} is in no layer"
        );
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Rust files of a crate.
fn sources(member: &Crate) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = member
        .sources
        .iter()
        .map(|source| root().join(member.folder).join(source))
        .collect();
    while let Some(path) = open.pop() {
        let hidden = path.ends_with("target") || path.ends_with("peers");
        if path.is_dir() && !hidden {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.is_file() && path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// The crates of the house among `words` that `member` may not import.
fn upward<'a>(member: &Crate, words: &[&'a str]) -> Vec<&'a str> {
    let is_above = |word: &&&str| {
        let name = word.replace('-', "_");
        // The package of dino-quant goes by a name of its own.
        let name = if name == "dino_llm_quant" {
            "dino_quant"
        } else {
            &name
        };
        NAMES.contains(&name) && !member.imports.contains(&name)
    };
    words.iter().filter(is_above).copied().collect()
}

/// The words in the dependency sections of a manifest, packages that were renamed included.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let is_header = line.starts_with('[');
        if is_header {
            // What the workspace offers to its members is no dependency of the root package.
            inside = line.contains("dependencies") && !line.starts_with("[workspace");
        }
        if inside {
            let is_end = |c: char| !(c.is_alphanumeric() || c == '-' || c == '_');
            found.extend(line.split(is_end).filter(|word| !word.is_empty()));
        }
    }
    found
}

fn has_unsafe(source: &str) -> bool {
    words(source).contains(&"unsafe")
}

/// Whether the crate root has the inner attribute `#![level(unsafe_code)]`.
fn says_of_unsafe(level: &str, source: &str) -> bool {
    let attribute = format!("#![{level}(unsafe_code)]");
    source.lines().any(|line| line.trim() == attribute)
}

/// The identifiers and keywords of a Rust source; not what comments and literals say.
fn words(source: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(length) = literal_or_comment(rest) {
            length
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            let length = length.unwrap_or(rest.len());
            words.push(&rest[..length]);
            length
        } else {
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

/// The length of the comment, string or character that `rest` starts with.
fn literal_or_comment(rest: &str) -> Option<usize> {
    let until = |from: usize, end: &str| {
        let length = rest[from..].find(end).map(|at| from + at + end.len());
        length.unwrap_or(rest.len())
    };
    if rest.starts_with("//") {
        return Some(until(2, "\n"));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if let Some(body) = rest.strip_prefix('\'') {
        let mut chars = body.chars();
        let first = chars.next()?;
        if first == '\\' {
            return Some(escaped(rest, '\''));
        }
        // Otherwise a lifetime, whose name is harmless as a word.
        return (chars.next() == Some('\'')).then(|| 2 + first.len_utf8());
    }
    let prefix = rest.len() - rest.trim_start_matches(['b', 'c', 'r']).len();
    let hashes = rest[prefix..].len() - rest[prefix..].trim_start_matches('#').len();
    if prefix > 2 || !rest[prefix + hashes..].starts_with('"') {
        return None;
    }
    if rest[..prefix].ends_with('r') {
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(until(prefix + hashes + 1, &end));
    }
    (hashes == 0).then(|| prefix + escaped(&rest[prefix..], '"'))
}

/// The length of a literal with backslashes that starts and ends with `quote`.
fn escaped(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    rest.len()
}

/// The length of a block comment, which may hold others.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let (step, change) = match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The checks must be able to fail.
mod checks {
    use super::*;

    fn member(folder: &str) -> &'static Crate {
        HOUSE.iter().find(|member| member.folder == folder).unwrap()
    }

    #[test]
    fn an_upward_dependency_is_found_however_it_is_written() {
        let models = member("dino-models");
        for manifest in [
            "[dependencies]\ndino-quant.workspace = true\n",
            "[dependencies]\nsmall = { package = \"dino-llm-quant\", path = \"../dino-quant\" }\n",
            "[dependencies.dino-quant]\nworkspace = true\n",
            "[dev-dependencies]\ndino-llm = { path = \"..\" }\n",
            "[target.'cfg(unix)'.dependencies]\ndino-quant.workspace = true\n",
        ] {
            assert!(
                !upward(models, &dependencies(manifest)).is_empty(),
                "{manifest}"
            );
        }
        for manifest in [
            "[package]\nname = \"dino-llm\"\n[dependencies]\ndino-core.workspace = true\n",
            "[workspace.dependencies]\ndino-quant = { path = \"dino-quant\" }\n",
            "[dependencies]\n# dino-quant would be wrong here\ndino-kernels.workspace = true\n",
        ] {
            assert!(
                upward(models, &dependencies(manifest)).is_empty(),
                "{manifest}"
            );
        }
    }

    #[test]
    fn an_upward_import_is_found_in_code_but_not_in_prose() {
        let core = member("dino-core");
        for source in [
            "use dino_kernels::Kernels;",
            "pub use ::dino_llm as facade;",
            "fn f() { dino_quant::quantize() }",
        ] {
            assert!(!upward(core, &words(source)).is_empty(), "{source}");
        }
        for source in [
            "/// As [`dino_kernels`] wants it.\nuse dino_core::DType;",
            "const NAME: &str = \"dino_llm\";",
            "/* use dino_llm::Model; */",
        ] {
            assert!(upward(core, &words(source)).is_empty(), "{source}");
        }
        assert!(
            upward(
                member("dino-quant"),
                &words("use dino_kernels::ThreadPool;")
            )
            .is_empty()
        );
        assert!(!upward(member("dino-quant"), &words("use dino_models::Spec;")).is_empty());
    }

    #[test]
    fn unsafe_is_found_in_code_but_not_in_prose() {
        for source in [
            "fn f() { unsafe { g() } }",
            "unsafe impl Send for T {}",
            "let c = '\"'; unsafe { g() } // \"",
            "/* a /* nested */ comment */ unsafe fn f() {}",
            "let s = \"a \\\" quote\"; unsafe { g() }",
            "let s = br#\"raw \" string\"#; unsafe { g() }",
            "fn f<'a>(x: &'a u8) { unsafe { g(x) } }",
            "let quote = '\\''; unsafe { g() }",
        ] {
            assert!(has_unsafe(source), "{source}");
        }
        for source in [
            "#![forbid(unsafe_code)]",
            "// unsafe",
            "/* /* unsafe */ unsafe */",
            "let s = \"unsafe\";",
            "let s = r#\"an \"unsafe\" word\"#;",
            "let s = c\"unsafe\"; let u = b\"unsafe\";",
            "let quote = '\"'; let s = \" unsafe \";",
        ] {
            assert!(!has_unsafe(source), "{source}");
        }
    }

    #[test]
    fn a_commented_attribute_does_not_count() {
        assert!(says_of_unsafe("forbid", "//! x\n#![forbid(unsafe_code)]\n"));
        assert!(!says_of_unsafe("forbid", "// #![forbid(unsafe_code)]\n"));
        assert!(!says_of_unsafe("forbid", "#![deny(unsafe_code)]\n"));
    }
}
