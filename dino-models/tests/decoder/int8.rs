//! Linear layers on plain 8-bit integers: near what they are in f32, and the same bits however a text is cut.

use crate::common::{Runner, open, tokens};
use dino_kernels::{Compute, Int8Range};
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::{CausalLm, Int8, Int8Layer};
use ndarray::Array2;
use std::sync::Arc;

const MODELS: [&str; 10] = [
    "gqa.gguf",
    "quantized.gguf",
    "bias.gguf",
    "../tiny_architectures/gemma3.gguf",
    "../tiny_architectures/phi2.gguf",
    "../tiny_architectures/cohere2.gguf",
    "../tiny_architectures/qwen3moe-q8_0.gguf",
    "../tiny_architectures/mamba.gguf",
    "../tiny_architectures/mamba2.gguf",
    "../tiny_architectures/qwen35.gguf",
];

fn build(name: &str, precise: bool, int8: Int8) -> Box<dyn CausalLm> {
    let compute = Compute::new(2).unwrap();
    let options = LoaderOptions {
        precise,
        int8: Some(Arc::new(int8)),
        ..LoaderOptions::default()
    };
    let file = open(name);
    let mut loader = Loader::new(&file, &compute, options);
    Registry::default().build(&mut loader).unwrap()
}

fn logits(name: &str, precise: bool, int8: Int8, chunk: usize) -> Array2<f32> {
    let mut runner = Runner::with(build(name, precise, int8), 2);
    let tokens = tokens(70, runner.model.config().vocabulary, 1);
    let sequence = runner.cache.add();
    runner.chunks(sequence, &tokens, chunk)
}

fn nmse(found: &Array2<f32>, expected: &Array2<f32>) -> f64 {
    let energy = |values: Array2<f32>| values.mapv(|x| f64::from(x).powi(2)).sum();
    energy(found - expected) / energy(expected.clone())
}

#[test]
fn dynamic_layers_are_near_precise_ones_however_a_text_is_cut() {
    for name in MODELS {
        let exact = logits(name, true, Int8::default(), 70);
        for symmetric in [true, false] {
            let whole = logits(name, false, Int8::dynamic(symmetric), 70);
            // Half a step is 1/254 of the largest value of a row, in weights and inputs, in each of a few layers.
            let error = nmse(&whole, &exact);
            // Where one of two experts that are nearly as good is chosen instead, much follows.
            let bound = if name.contains("moe") { 5e-2 } else { 5e-3 };
            assert!(error > 0.0 && error < bound, "{name}: {error}");
            for chunk in [1, 5, 33] {
                let cut = logits(name, false, Int8::dynamic(symmetric), chunk);
                assert_eq!(whole, cut, "{name}, chunks of {chunk}");
            }
        }
    }
}

/// Layers that read the same rows may want them rounded differently.
#[test]
fn layers_need_not_agree_on_their_input() {
    let name = "gqa.gguf";
    let hidden = open(name)
        .weights
        .get("blk.0.attn_q.weight")
        .unwrap()
        .columns();
    let layer = |weight: &str, range, factors| Int8Layer {
        weights: vec![format!("blk.0.{weight}.weight")],
        range,
        factors,
    };
    let token = Int8Range::Token { symmetric: true };
    let (scale, zero_point) = (8.0 / 127.0, 0);
    let fixed = Int8Range::Tensor { scale, zero_point };
    let int8 = Int8::default()
        .with(layer("attn_q", token, vec![2.0; hidden]))
        .with(layer("attn_v", fixed, Vec::new()))
        .with(layer("ffn_up", token, vec![0.5; hidden]));
    let exact = logits(name, true, Int8::default(), 70);
    let mixed = logits(name, false, int8, 70);
    let error = nmse(&mixed, &exact);
    assert!(error > 0.0 && error < 2e-2, "{error}");
    // Factors that are powers of two change nothing but exponents: the same bits as without them.
    let powers = Int8::default()
        .with(layer("attn_q", token, vec![2.0; hidden]))
        .with(layer("ffn_up", token, vec![0.5; hidden]));
    assert_eq!(
        logits(name, false, powers, 70),
        logits(name, false, Int8::default(), 70)
    );
}

#[test]
fn factors_of_another_width_are_refused() {
    let file = open("gqa.gguf");
    let compute = Compute::new(1).unwrap();
    let int8 = Int8::default().with(Int8Layer {
        weights: vec!["blk.1.ffn_down.weight".into()],
        range: Int8Range::Token { symmetric: true },
        factors: vec![1.0; 3],
    });
    let options = LoaderOptions {
        int8: Some(Arc::new(int8)),
        ..LoaderOptions::default()
    };
    let error = Registry::default().build(&mut Loader::new(&file, &compute, options));
    let message = error.err().unwrap().to_string();
    assert!(
        message.contains("those of blk.1.ffn_down.weight is 3; expected"),
        "{message}"
    );
}
