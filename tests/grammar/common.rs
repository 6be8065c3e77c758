//! Models, and texts that they are made to write.

use std::path::PathBuf;

use dino_llm::{
    Completion, Constraint, Generator, Grammar, GrammarCompiler, Model, Prompt, Request,
    SamplingParams,
};

/// A tiny random model: it writes noise, so that only the grammar makes sense of it.
pub(crate) fn tiny(name: &str) -> Model {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny");
    Model::load(folder.join(format!("{name}.gguf"))).unwrap()
}

/// Nothing filtered, so that unlikely tokens come too.
pub(crate) fn noise(seed: u64) -> SamplingParams {
    SamplingParams::unfiltered(1.5).with_seed(seed)
}

pub(crate) fn compile(model: &Model, grammar: &Grammar) -> Constraint {
    GrammarCompiler::new(model)
        .unwrap()
        .compile(grammar)
        .unwrap()
}

pub(crate) fn generate(
    model: &Model,
    constraint: &Constraint,
    prompt: impl Into<Prompt>,
    params: &SamplingParams,
) -> Completion {
    let request = Request::new(prompt, params).processor(constraint.clone());
    let stream = Generator::new(model).start(request).unwrap();
    stream.into_completion().unwrap()
}
