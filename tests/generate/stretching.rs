//! A context that is stretched when the model is loaded.

use std::path::Path;

use dino_llm::dino_models::format::{Metadata, ModelFile};
use dino_llm::dino_models::{Batch, Scratch, Wanted};
use dino_llm::{Error, Model, ModelError, RopeOverride};

/// A tiny model as its file says.
fn stretched(name: &str) -> ModelFile {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    ModelFile::open(golden.join(name)).unwrap()
}

/// The same with the keys of its stretching left out, and the context that it was trained for.
fn unstretched(name: &str, trained: u32) -> ModelFile {
    let file = stretched(name);
    let mut metadata = Metadata::new(file.metadata.file());
    for (key, value) in file.metadata.iter() {
        if !key.contains(".rope.scaling.") {
            metadata.insert(key, value.clone());
        }
    }
    let key = format!("{}.context_length", metadata.architecture().unwrap());
    metadata.insert(key, trained);
    ModelFile { metadata, ..file }
}

fn logits(model: &Model) -> Vec<f32> {
    let mut cache = model.new_cache();
    let (mut batch, mut scratch) = (Batch::default(), Scratch::new());
    let tokens: Vec<u32> = (1..60).collect();
    batch.push(cache.add(), &tokens, Wanted::All);
    let language_model = model.language_model();
    language_model
        .forward(model.compute(), &batch, &mut cache, &mut scratch)
        .unwrap();
    scratch.logits().iter().copied().collect()
}

fn number(file: &ModelFile, key: &str) -> f32 {
    let scoped = file.metadata.scoped().unwrap();
    scoped
        .maybe::<f32>(key)
        .unwrap()
        .unwrap_or_else(|| scoped.get::<u32>(key).unwrap() as f32)
}

#[test]
fn what_is_asked_for_is_what_a_file_says() {
    // `tests/decoder` compares files that say this with transformers.
    let mut file = stretched("tiny/gqa.gguf");
    let trained = number(&file, "context_length");
    file.metadata.insert("llama.rope.scaling.type", "yarn");
    file.metadata.insert("llama.rope.scaling.factor", 4.0_f32);
    file.metadata
        .insert("llama.rope.scaling.original_context_length", 32_u32);
    file.metadata
        .insert("llama.rope.scaling.yarn_beta_fast", 8.0_f32);
    let expected = Model::builder().load_file(file).unwrap();
    let mut yarn = RopeOverride::yarn(4.0);
    (yarn.original_context, yarn.beta_fast) = (Some(32), Some(8.0));
    let found = Model::builder()
        .rope_scaling(yarn)
        .load_file(stretched("tiny/gqa.gguf"))
        .unwrap();
    assert_eq!(logits(&found), logits(&expected));
    assert_eq!(found.config().context_length, 4 * 32);
    let plain = Model::builder()
        .load_file(stretched("tiny/gqa.gguf"))
        .unwrap();
    assert_ne!(logits(&found), logits(&plain));
    let longer = Model::builder().rope_scaling(RopeOverride::yarn(4.0));
    let longer = longer.load_file(stretched("tiny/gqa.gguf")).unwrap();
    assert_eq!(longer.config().context_length as f32, 4.0 * trained);

    let file = stretched("tiny/rope_linear.gguf");
    let trained = number(&file, "context_length") as u32;
    let linear = RopeOverride::linear(number(&file, "rope.scaling.factor"));
    let expected = Model::builder().load_file(file).unwrap();
    let asked = unstretched("tiny/rope_linear.gguf", trained);
    let found = Model::builder()
        .rope_scaling(linear)
        .load_file(asked)
        .unwrap();
    assert_eq!(logits(&found), logits(&expected));
    // And the other way round: the file's own is left out.
    let plain = Model::builder().load_file(unstretched("tiny/rope_linear.gguf", trained));
    let unscaled = Model::builder().rope_scaling(RopeOverride::unscaled());
    let unscaled = unscaled
        .load_file(stretched("tiny/rope_linear.gguf"))
        .unwrap();
    assert_eq!(logits(&unscaled), logits(&plain.unwrap()));
    assert_ne!(logits(&unscaled), logits(&expected));
}

#[test]
fn what_is_impossible_is_refused_by_its_name() {
    let refusal = |name: &str, rope: RopeOverride| {
        let loaded = Model::builder()
            .rope_scaling(rope)
            .load_file(stretched(name));
        loaded.map(drop).unwrap_err()
    };
    for factor in [0.0, -2.0, f32::NAN, f32::INFINITY] {
        let error = refusal("tiny/gqa.gguf", RopeOverride::yarn(factor)).to_string();
        assert!(
            error.contains("gqa.gguf") && error.contains("llama."),
            "{error}"
        );
    }
    let mut base = RopeOverride::unscaled();
    base.base = Some(-1.0);
    assert!(
        refusal("tiny/gqa.gguf", base)
            .to_string()
            .contains("llama.rope.freq_base")
    );
    // A model that learned its positions has no others.
    let error = refusal("tiny_architectures/gpt2.gguf", RopeOverride::linear(2.0));
    assert!(
        matches!(
            error,
            Error::Model(ModelError::Format(_) | ModelError::UnreadKeys { .. })
        ),
        "{error}"
    );
}
