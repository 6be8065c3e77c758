//! The default model against transformers and llama.cpp running the same weights.
//!
//! It is fetched as a user's would be, so these tests need the file or the network; they are never skipped.

use std::sync::OnceLock;

use dino_llm::{
    ChatSession, EncodeOptions, Generator, Isa, KvType, Message, Model, ModelBuilder, Prompt,
    SamplingParams, default_model,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What transformers computes in f32 (`tools/golden_default_model.py`).
#[derive(Deserialize)]
struct Transformers {
    greedy: Vec<Greedy>,
    logits: Vec<Sequence>,
}

/// What llama.cpp generates (`tools/golden_llamacpp.py`).
#[derive(Deserialize)]
struct LlamaCpp {
    greedy: Vec<Greedy>,
}

/// A prompt and its greedy continuation; end tokens are not obeyed.
#[derive(Deserialize)]
struct Greedy {
    name: String,
    prompt: Option<String>,
    prompt_ids: Vec<u32>,
    ids: Vec<u32>,
    text: String,
    /// How far the best logit lies above the second, at each step.
    margins: Vec<f32>,
}

#[derive(Deserialize)]
struct Sequence {
    name: String,
    ids: Vec<u32>,
    positions: Vec<Position>,
}

/// The best logits at one position.
#[derive(Deserialize)]
struct Position {
    position: usize,
    log_sum_exp: f64,
    ids: Vec<usize>,
    logits: Vec<f64>,
}

impl Position {
    /// The KL divergence of `logits` from the reference, all but the best tokens taken as one outcome.
    fn divergence(&self, logits: &[f32]) -> f64 {
        let log_sum_exp = log_sum_exp(logits);
        let mut left = (1.0, 1.0);
        let mut divergence = 0.0;
        for (&id, &expected) in self.ids.iter().zip(&self.logits) {
            let expected = expected - self.log_sum_exp;
            let found = f64::from(logits[id]) - log_sum_exp;
            divergence += expected.exp() * (expected - found);
            left = (left.0 - expected.exp(), left.1 - found.exp());
        }
        divergence + left.0 * (left.0 / left.1).ln()
    }
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = f64::from(argmax(logits).1);
    let sum: f64 = logits
        .iter()
        .map(|&logit| (f64::from(logit) - max).exp())
        .sum();
    max + sum.ln()
}

fn argmax(logits: &[f32]) -> (usize, f32) {
    let pairs = logits.iter().copied().enumerate();
    pairs.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

/// With f32 activations and cache.
fn precise() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| load(|builder| builder.precise(true).kv_cache_type(KvType::F32)))
}

/// As users get it: activations rounded to 8 bits, f16 cache.
fn usual() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| load(|builder| builder))
}

fn load(settings: impl Fn(ModelBuilder) -> ModelBuilder) -> Model {
    assert!(
        std::env::var_os("DINO_MODEL")
            .is_none_or(|path| path.to_string_lossy().ends_with(default_model::NAME)),
        "DINO_MODEL names another model than the one whose numbers are known: unset it"
    );
    let path = default_model::ensure(|_| {}).unwrap_or_else(|error| panic!("{error}"));
    settings(Model::builder()).load(path).unwrap()
}

fn golden<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn greedy(tokens: usize) -> SamplingParams {
    SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(tokens)
    }
}

/// Mean and largest KL divergence over all positions.
fn divergences(model: &Model) -> (f64, f64) {
    let mut generator = Generator::new(model);
    let mut found = Vec::new();
    for sequence in golden::<Transformers>("default_model").logits {
        let logits = generator.logits(&sequence.ids).unwrap();
        for position in &sequence.positions {
            let divergence = position.divergence(logits.row(position.position).as_slice().unwrap());
            println!("{} at {}: {divergence:e}", sequence.name, position.position);
            found.push(divergence);
        }
    }
    let mean = found.iter().sum::<f64>() / found.len() as f64;
    (mean, found.iter().copied().fold(0.0, f64::max))
}

/// Runs prompt and continuation of each case and makes sure that the next token is the reference's wherever that one's
/// margin is more than `error`.
fn assert_top_1(model: &Model, cases: &[Greedy], error: f32) {
    let mut generator = Generator::new(model);
    for case in cases {
        let all = [&case.prompt_ids[..], &case.ids].concat();
        let first = case.prompt_ids.len() - 1;
        let mut worst = 0.0_f32;
        generator
            .for_each_logits(&all[..all.len() - 1], first, |position, logits| {
                let step = position - first;
                let (expected, margin) = (case.ids[step] as usize, case.margins[step]);
                let (best, logit) = argmax(logits);
                if best != expected {
                    worst = worst.max(margin);
                    let lead = logit - logits[expected];
                    println!(
                        "{} at {step}: {best} leads {expected} by {lead}, margin {margin}",
                        case.name
                    );
                }
            })
            .unwrap();
        assert!(
            worst <= error,
            "{}: another token where the margin is {worst}",
            case.name
        );
    }
}

#[test]
fn texts_are_encoded_as_by_transformers() {
    for case in golden::<Transformers>("default_model").greedy {
        let options = EncodeOptions {
            add_special: false,
            parse_special: true,
        };
        let found = usual()
            .tokenizer()
            .encode(&case.prompt.unwrap(), options)
            .unwrap();
        assert_eq!(found, case.prompt_ids, "{}", case.name);
    }
}

#[test]
fn conversations_are_rendered_as_by_transformers() {
    let mut session = ChatSession::new(usual()).unwrap();
    let cases = golden::<Transformers>("default_model").greedy;
    let chats: Vec<_> = cases
        .iter()
        .filter(|case| case.name.starts_with("chat_"))
        .collect();
    assert_eq!(chats.len(), 3);
    for case in chats {
        let prompt = case.prompt.as_ref().unwrap();
        let said = prompt.split("<|im_start|>user\n").nth(1).unwrap();
        let said = said.split("<|im_end|>").next().unwrap();
        *session.history_mut() = vec![Message::user(said)];
        assert_eq!(session.prompt().unwrap(), *prompt);
    }
}

/// The first tokens only, for speed: that every choice of the precise path is the reference's is shown below.
#[test]
fn the_precise_path_generates_the_text_of_transformers() {
    let mut generator = Generator::new(precise());
    for case in golden::<Transformers>("default_model").greedy {
        let prompt = Prompt::rendered(case.prompt.unwrap());
        let found = generator.generate(prompt, &greedy(8)).unwrap();
        let ids: Vec<_> = found.tokens.iter().map(|token| token.id).collect();
        assert_eq!(ids, case.ids[..8], "{}", case.name);
        assert!(
            case.text.starts_with(&found.text),
            "{}: {}",
            case.name,
            found.text
        );
    }
}

#[test]
fn the_precise_path_has_the_distributions_of_transformers() {
    let (mean, largest) = divergences(precise());
    assert!(
        mean <= 1e-6 && largest <= 1e-5,
        "mean {mean:e}, largest {largest:e}"
    );
    assert_top_1(
        precise(),
        &golden::<Transformers>("default_model").greedy,
        0.001,
    );
}

#[test]
fn the_usual_path_has_nearly_the_distributions_of_transformers() {
    let (mean, largest) = divergences(usual());
    println!("mean {mean:e}, largest {largest:e}");
    assert!(
        mean <= 2e-3 && largest <= 2e-2,
        "mean {mean:e}, largest {largest:e}"
    );
    assert_top_1(
        usual(),
        &golden::<Transformers>("default_model").greedy,
        0.3,
    );
}

#[test]
fn the_usual_path_chooses_as_llama_cpp_does() {
    assert_top_1(usual(), &golden::<LlamaCpp>("llamacpp_greedy").greedy, 0.3);
}

/// The sets that take long prompts to bf16.
fn sets_of_bf16() -> impl Iterator<Item = Isa> {
    let sets = Isa::under_test().unwrap().into_iter();
    sets.filter(|isa| [Isa::Bf16, Isa::Amx].contains(isa))
}

/// Nearer than bytes are, several times.
#[test]
fn products_of_bf16_have_nearly_the_distributions_of_transformers() {
    for isa in sets_of_bf16() {
        let (mean, largest) = divergences(&load(|builder| builder.isa(isa)));
        println!("{isa}: mean {mean:e}, largest {largest:e}");
        assert!(
            mean <= 4e-4 && largest <= 4e-3,
            "{isa}: mean {mean:e}, largest {largest:e}"
        );
    }
}

/// Rows that share a pass with many take another path there than with few, unless they shall not.
#[test]
fn a_reproducible_prompt_may_be_cut_anywhere() {
    let sequences = golden::<Transformers>("default_model").logits;
    let ids: Vec<_> = sequences.iter().flat_map(|s| s.ids.clone()).collect();
    let ids = &ids[..ids.len().min(100)];
    assert!(ids.len() > 64, "a prompt of several passes");
    for isa in sets_of_bf16().chain([Isa::detect()]) {
        let logits = [ids.len(), 24].map(|chunk| {
            let model = load(|builder| builder.isa(isa).reproducible(true).prompt_chunk(chunk));
            Generator::new(&model).logits(ids).unwrap()
        });
        assert_eq!(logits[0], logits[1], "{isa}");
    }
}
