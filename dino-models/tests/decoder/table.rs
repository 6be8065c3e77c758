//! `docs/architectures.md` says what is tested: it is written from the same index that the tests run through.

use crate::common::path;
use dino_models::arch::Registry;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;

const PAGE: &str = "../../../docs/architectures.md";

/// The page as it should be. `DINO_WRITE_DOCS=1` writes it.
#[test]
fn the_page_of_architectures_is_up_to_date() {
    let page = page();
    let file = path(PAGE);
    if std::env::var_os("DINO_WRITE_DOCS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == page,
        "docs/architectures.md is stale: run this test with DINO_WRITE_DOCS=1"
    );
}

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut rows = rows("../tiny_architectures");
    rows.extend(rows_of_llama());
    rows.sort();
    for row in rows {
        page.push_str(&row);
    }
    let _ = write!(
        page,
        "\nKnown are: {}.\n",
        Registry::default().names().join(", ")
    );
    page.push_str(ENCODERS);
    for entry in index("../tiny_encoders") {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        let folder = path(&format!("../tiny_encoders/{}", text("name")));
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {} | yes | {} |",
            text("name"),
            text("class"),
            text("pooling"),
            yes(folder.join("config.json").is_file())
        );
    }
    page
}

const INTRODUCTION: &str = "\
# Architectures

Written by a test (`dino-models/tests/decoder/table.rs`) from what the tests run; do not edit.

Each row is a tiny random model that `transformers` built from a configuration of the architecture
(`tools/tiny_architectures.py`, `tools/tiny_models.py`). For each of its formats the tests compare, in f32, the logits of
all positions of a prompt that is longer than any window: at once, in pieces and step by step, with a normalised squared
error of at most 1e-9 (measured: 1e-14 to 1e-11). Where a continuation is stored, 64 greedy tokens are equal. A tensor
that is lost, renamed or of another shape gives an error that names it, in both formats; so does a key of a file that is
renamed. Each key of each `config.json` is also left out and set to other values (`tools/tiny_sweep.py`, 2,300 changes): the
logits are then those of `transformers` with the same change, or there is an error that says where.

| architecture | checked with | reference | GGUF | folder | greedy |
|---|---|---|---|---|---|
";

const ENCODERS: &str = "
## Encoders

Tiny random ones (`tools/tiny_encoders.py`); `Embedder` reads them. The features of all tokens of several texts are compared
in f32, with a normalised squared error of at most 1e-10; a folder gives those of its GGUF file to the bit. Folders say by
`modules.json` and the files that it names how vectors are pooled, whether they are normalised, and where texts are cut.

| encoder | reference | pooling | GGUF | folder |
|---|---|---|---|---|
";

/// The rows of the models that the index of `folder` lists.
fn rows(folder: &str) -> Vec<String> {
    let read = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let tokens = entry["greedy"].as_array().map_or(0, Vec::len);
        let name = text("name");
        row(
            [&text("architecture"), &text("about"), &text("class")],
            path(&format!("{folder}/{name}")),
            tokens,
        )
    };
    index(folder).iter().map(read).collect()
}

fn rows_of_llama() -> Vec<String> {
    let read = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let folder = path(&text("name"));
        row(["llama", &text("about"), "LlamaForCausalLM"], folder, 0)
    };
    index(".").iter().map(read).collect()
}

fn index(folder: &str) -> Vec<Value> {
    let index = std::fs::read(path(&format!("{folder}/index.json"))).unwrap();
    serde_json::from_slice(&index).unwrap()
}

/// `model` is the path of the folder, which a GGUF file lies beside.
fn row([architecture, about, class]: [&str; 3], model: impl AsRef<Path>, tokens: usize) -> String {
    let folder = yes(model.as_ref().join("config.json").is_file());
    let tokens = if tokens > 0 {
        tokens.to_string()
    } else {
        String::new()
    };
    format!("| `{architecture}` | {about} | `{class}` | yes | {folder} | {tokens} |\n")
}

fn yes(there: bool) -> &'static str {
    if there { "yes" } else { "" }
}
