//! A tiny model whose metadata is changed: it is refused, or runs.
#![no_main]

use arbitrary::Arbitrary;
use dino_core::Storage;
use dino_kernels::{Compute, KvType};
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::format::{Metadata, ModelFile, Value};
use dino_models::{Batch, Cache, Scratch, Wanted};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static TINY: &[u8] = include_bytes!("../../tests/golden/tiny/rope_linear.gguf");

/// A change of one key, chosen by its place in the file.
#[derive(Arbitrary, Debug)]
struct Edit<'a> {
    place: u8,
    change: Change<'a>,
}

#[derive(Arbitrary, Debug)]
enum Change<'a> {
    Remove,
    Rename(&'a str),
    Small(u8),
    Integer(i64),
    Large(u64),
    Float(f32),
    Flag(bool),
    Text(&'a str),
    Integers(Vec<u32>),
    Floats(Vec<f32>),
}

fuzz_target!(|edits: Vec<Edit<'_>>| {
    let Ok(mut file) = ModelFile::from_storage("tiny.gguf", &storage()) else {
        panic!("the model is valid before it is changed");
    };
    file.metadata = edited(&file.metadata, &edits);
    let _ = run(&file);
});

/// The bytes of the model, aligned once.
fn storage() -> Storage {
    static STORAGE: OnceLock<Storage> = OnceLock::new();
    STORAGE
        .get_or_init(|| Storage::from_vec(TINY.to_vec()))
        .clone()
}

fn edited(metadata: &Metadata, edits: &[Edit<'_>]) -> Metadata {
    let mut result = Metadata::new("tiny.gguf");
    for (place, (key, value)) in metadata.iter().enumerate() {
        let edit = edits.iter().find(|edit| usize::from(edit.place) == place);
        match edit.map(|edit| &edit.change) {
            None => result.insert(key, value.clone()),
            Some(Change::Remove) => {}
            Some(Change::Rename(name)) => result.insert(*name, value.clone()),
            Some(change) => result.insert(key, changed(change)),
        }
    }
    result
}

fn changed(change: &Change<'_>) -> Value {
    match change {
        Change::Small(x) => (*x).into(),
        Change::Integer(x) => (*x).into(),
        Change::Large(x) => (*x).into(),
        Change::Float(x) => (*x).into(),
        Change::Flag(x) => (*x).into(),
        Change::Integers(values) => values.as_slice().into(),
        Change::Floats(values) => values.as_slice().into(),
        Change::Text(text) | Change::Rename(text) => (*text).into(),
        Change::Remove => false.into(),
    }
}

/// Builds the model and takes one step with it.
fn run(file: &ModelFile) -> Result<(), Box<dyn std::error::Error>> {
    static COMPUTE: OnceLock<Compute> = OnceLock::new();
    let compute = COMPUTE.get_or_init(|| Compute::new(1).expect("one thread starts"));
    let mut loader = Loader::new(file, compute, LoaderOptions::default());
    let model = Registry::default().build(&mut loader)?;
    let mut cache = model.config().new_cache(KvType::F16, None);
    let mut batch = Batch::default();
    batch.push(cache.add(), &[1, 2, 3], Wanted::Last);
    let mut scratch = Scratch::new();
    model.forward(compute, &batch, &mut cache, &mut scratch)?;
    assert_eq!(scratch.logits().nrows(), 1);
    Ok(())
}
