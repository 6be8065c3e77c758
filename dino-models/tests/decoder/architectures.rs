//! A tiny random model of each architecture gives the logits of `transformers` (`tools/tiny_architectures.py`).

use crate::common::{Runner, build_for, open, path, tokens};
use dino_core::{Storage, Tensor};
use dino_models::CausalLm;
use dino_models::arch::Registry;
use dino_models::format::{ModelFile, Weights};
use ndarray::{Array2, ArrayView2};
use serde_json::Value;

const FOLDER: &str = "../tiny_architectures";

/// What `transformers` made of one model.
struct Reference {
    name: String,
    /// `general.architecture` of its file.
    architecture: String,
    /// The context that is asked for.
    context: Option<usize>,
    tokens: Vec<u32>,
    /// `[tokens, vocabulary]`.
    logits: Array2<f32>,
    /// How the tokens go on.
    greedy: Vec<u32>,
}

/// The model in each of its formats.
fn formats(reference: &Reference) -> impl Iterator<Item = (String, Box<dyn CausalLm>)> {
    let name = &reference.name;
    let mut formats = vec![format!("{FOLDER}/{name}.gguf")];
    let folder = format!("{FOLDER}/{name}");
    if path(&folder).is_dir() {
        formats.push(folder);
    }
    let context = reference.context;
    formats.into_iter().map(move |name| {
        let model = build_for(&open(&name), true, context).unwrap();
        (name, model)
    })
}

fn references() -> Vec<Reference> {
    let index = std::fs::read(path(&format!("{FOLDER}/index.json"))).unwrap();
    let index: Vec<Value> = serde_json::from_slice(&index).unwrap();
    let read = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap().to_owned();
        let ids = |key: &str| -> Vec<u32> {
            let ids = entry[key].as_array().unwrap().iter();
            ids.map(|id| id.as_u64().unwrap() as u32).collect()
        };
        let (name, tokens) = (text("name"), ids("ids"));
        let bytes = std::fs::read(path(&format!("{FOLDER}/{name}.f32"))).unwrap();
        let values = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
        let shape = (tokens.len(), bytes.len() / 4 / tokens.len());
        Reference {
            architecture: text("architecture"),
            logits: Array2::from_shape_vec(shape, values.collect()).unwrap(),
            greedy: ids("greedy"),
            context: match entry["context"].as_u64() {
                None | Some(0) => None,
                Some(context) => Some(context as usize),
            },
            name,
            tokens,
        }
    };
    index.iter().map(read).collect()
}

/// Squared error over squared reference, both about nothing but the reference's scale.
fn normalised_error(found: ArrayView2<'_, f32>, expected: ArrayView2<'_, f32>) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = found.iter().zip(expected).map(|(f, e)| square(f - e)).sum();
    error / expected.iter().map(|&e| square(e)).sum::<f64>()
}

#[test]
fn logits_are_those_of_transformers() {
    for reference in references() {
        for (name, model) in formats(&reference) {
            compare_logits(&name, &reference, Runner::with(model, 2));
        }
    }
}

fn compare_logits(name: &str, reference: &Reference, mut runner: Runner) {
    let (tokens, expected) = (&reference.tokens, &reference.logits);
    // Registers sum in several places at once, plain code one term after the other: its roundings add up to more
    // (measured for qwen3next, whose delta rule goes through all positions: 2.3e-11, and 1.1e-11 in registers).
    let bound = match runner.compute.kernels.isa() {
        dino_kernels::Isa::Scalar => 1e-10,
        _ => 3e-11,
    };
    for chunk in [tokens.len(), 7, 1] {
        let sequence = runner.cache.add();
        let found = runner.chunks(sequence, tokens, chunk);
        let error = normalised_error(found.view(), expected.view());
        println!("{name}, chunks of {chunk}: {error:.1e}");
        assert!(error <= bound, "{name}, chunks of {chunk}: {error:.1e}");
    }
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    for reference in references() {
        for (name, model) in formats(&reference) {
            compare_greedy(&name, &reference, Runner::with(model, 2));
        }
    }
}

fn compare_greedy(name: &str, reference: &Reference, mut runner: Runner) {
    let sequence = runner.cache.add();
    let (mut next, mut found) = (reference.tokens.clone(), Vec::new());
    while found.len() < reference.greedy.len() {
        let logits = runner.chunks(sequence, &next, next.len());
        let last = logits.rows().into_iter().next_back().unwrap();
        let best = last.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let token = last.iter().position(|&logit| logit == best).unwrap();
        next = vec![token as u32];
        found.push(token as u32);
    }
    assert_eq!(found, reference.greedy, "{name}");
}

/// Old converters joined what is three tensors now, and some keep a vector as a matrix of one row.
#[test]
fn other_layouts_of_files_give_the_same() {
    let logits = |file: &ModelFile| {
        let mut runner = Runner::with(build_for(file, true, None).unwrap(), 1);
        let sequence = runner.cache.add();
        runner.chunks(sequence, &tokens(20, 64, 5), 20)
    };
    for (name, change) in [
        ("phi2", join_inputs as fn(&Weights) -> Vec<Tensor>),
        ("qwen2moe", rows_for_vectors),
    ] {
        let file = open(&format!("{FOLDER}/{name}.gguf"));
        let expected = logits(&file);
        let mut weights = Weights::new(file.weights.file());
        for tensor in change(&file.weights) {
            weights.insert(tensor).unwrap();
        }
        let found = logits(&ModelFile { weights, ..file });
        assert_eq!(found, expected, "{name}");
    }
}

/// `attn_q`, `attn_k` and `attn_v` as one `attn_qkv`.
fn join_inputs(weights: &Weights) -> Vec<Tensor> {
    let mut joined: Vec<Tensor> = Vec::new();
    for tensor in weights.iter() {
        let parts = [".attn_q.", ".attn_k.", ".attn_v."];
        let Some(part) = parts.iter().find(|part| tensor.name().contains(**part)) else {
            joined.push(tensor);
            continue;
        };
        let name = tensor.name().replace(part, ".attn_qkv.");
        let before = joined.iter().position(|other| other.name() == name);
        let (mut bytes, mut rows) = before.map_or((Vec::new(), 0), |at| {
            let before = joined.remove(at);
            (before.storage().as_slice().to_vec(), before.shape()[0])
        });
        bytes.extend_from_slice(tensor.storage().as_slice());
        rows += tensor.shape()[0];
        let shape = [&[rows], &tensor.shape()[1..]].concat();
        let storage = Storage::from_vec(bytes);
        joined.push(Tensor::new(name, tensor.dtype(), &shape, storage).unwrap());
    }
    joined
}

/// The vector of the shared expert's share as `[1, hidden]`.
fn rows_for_vectors(weights: &Weights) -> Vec<Tensor> {
    let row = |tensor: Tensor| {
        if !tensor.name().ends_with("ffn_gate_inp_shexp.weight") {
            return tensor;
        }
        let (dtype, storage) = (tensor.dtype(), tensor.storage().clone());
        Tensor::new(tensor.name(), dtype, &[1, tensor.len()], storage).unwrap()
    };
    weights.iter().map(row).collect()
}

#[test]
fn every_architecture_has_a_reference() {
    let tested: Vec<String> = references().into_iter().map(|r| r.architecture).collect();
    for name in Registry::default().names() {
        assert!(tested.contains(&name), "{name}");
    }
}
