//! However a text is cut into passes, and whatever runs beside it, its logits are the same to the bit.

use crate::common::{Runner, tokens};
use dino_models::{Batch, ModelError, Wanted};
use ndarray::s;

const MODELS: [&str; 15] = [
    "gqa.gguf",
    "quantized.gguf",
    "bias.gguf",
    "rope_llama3.gguf",
    "../tiny_architectures/gemma3.gguf",
    "../tiny_architectures/olmo2.gguf",
    "../tiny_architectures/gpt2.gguf",
    "../tiny_architectures/phi2.gguf",
    "../tiny_architectures/cohere2.gguf",
    "../tiny_architectures/qwen2moe.gguf",
    "../tiny_architectures/qwen3moe-q8_0.gguf",
    "../tiny_architectures/mamba.gguf",
    "../tiny_architectures/mamba2.gguf",
    "../tiny_architectures/lfm2.gguf",
    "../tiny_architectures/qwen35.gguf",
];

#[test]
fn any_chunking_gives_the_same_logits() {
    for name in MODELS {
        for precise in [false, true] {
            let mut runner = Runner::new(name, precise, 2);
            let tokens = tokens(120, runner.model.config().vocabulary, 1);
            let sequence = runner.cache.add();
            let whole = runner.chunks(sequence, &tokens, tokens.len());
            for chunk in [1, 7, 64, 100] {
                let sequence = runner.cache.add();
                let chunked = runner.chunks(sequence, &tokens, chunk);
                assert_eq!(whole, chunked, "{name}, chunks of {chunk}");
            }
        }
    }
}

#[test]
fn sequences_of_a_batch_do_not_meet() {
    for name in MODELS {
        let mut runner = Runner::new(name, false, 2);
        let vocabulary = runner.model.config().vocabulary;
        let texts =
            [(1, 3), (70, 4), (13, 5), (64, 6)].map(|(n, seed)| tokens(n, vocabulary, seed));
        let alone = texts.each_ref().map(|text| {
            let sequence = runner.cache.add();
            runner.chunks(sequence, text, text.len())
        });
        // Together, in two steps: a first part of each, then the rest.
        let sequences = texts.each_ref().map(|_| runner.cache.add());
        let mut found = texts.each_ref().map(|_| Vec::new());
        for part in 0..2 {
            let mut batch = Batch::default();
            for (sequence, text) in sequences.iter().zip(&texts) {
                let (first, rest) = text.split_at(text.len() / 2);
                batch.push(*sequence, [first, rest][part], Wanted::All);
            }
            let logits = runner.run(&batch);
            for span in batch.spans() {
                let index = sequences.iter().position(|s| *s == span.sequence).unwrap();
                found[index].extend(logits.slice(s![span.rows.clone(), ..]).iter().copied());
            }
        }
        for (alone, found) in alone.iter().zip(found) {
            let found = ndarray::Array2::from_shape_vec(alone.dim(), found).unwrap();
            assert_eq!(alone, found, "{name}");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for name in MODELS {
        for precise in [false, true] {
            let [one, two, many] = [1, 2, 5].map(|threads| {
                let mut runner = Runner::new(name, precise, threads);
                let tokens = tokens(90, runner.model.config().vocabulary, 2);
                let sequence = runner.cache.add();
                runner.chunks(sequence, &tokens, 40)
            });
            assert_eq!(one, two, "{name}");
            assert_eq!(one, many, "{name}");
        }
    }
}

#[test]
fn a_replayed_past_gives_the_same_bits() {
    let mut runner = Runner::new("gqa.gguf", false, 2);
    let tokens = tokens(100, runner.model.config().vocabulary, 3);
    let sequence = runner.cache.add();
    let first = runner.chunks(sequence, &tokens, 25);
    runner.cache.truncate(sequence, 50).unwrap();
    let again = runner.chunks(sequence, &tokens[50..], 25);
    assert_eq!(first.slice(s![50.., ..]), again);
    // A fork shares the past; what it adds does not change the other's future.
    runner.cache.truncate(sequence, 75).unwrap();
    let fork = runner.cache.fork(sequence).unwrap();
    runner.chunks(fork, &tokens[..30], 10);
    let untouched = runner.chunks(sequence, &tokens[75..], 25);
    assert_eq!(first.slice(s![75.., ..]), untouched);
}

#[test]
fn a_state_is_forked_and_forgotten_whole() {
    for name in ["mamba2", "lfm2", "qwen35"] {
        let mut runner = Runner::new(&format!("../tiny_architectures/{name}.gguf"), false, 2);
        let tokens = tokens(40, runner.model.config().vocabulary, 3);
        let sequence = runner.cache.add();
        let first = runner.chunks(sequence, &tokens[..30], 10);
        let fork = runner.cache.fork(sequence).unwrap();
        let rest = runner.chunks(sequence, &tokens[30..], 10);
        assert_eq!(runner.chunks(fork, &tokens[30..], 1), rest, "{name}");
        // Nothing can be kept, so that all is run again.
        assert!(!runner.model.config().can_rewind());
        assert_eq!(runner.cache.truncate(sequence, 20).unwrap(), 0);
        assert_eq!(runner.chunks(sequence, &tokens[..30], 7), first, "{name}");
    }
}

#[test]
fn only_wanted_rows_have_logits() {
    let mut runner = Runner::new("gqa.gguf", false, 2);
    let tokens = tokens(9, runner.model.config().vocabulary, 4);
    let [all, last, nothing] = [Wanted::All, Wanted::Last, Wanted::Nothing].map(|wanted| {
        let mut batch = Batch::default();
        batch.push(runner.cache.add(), &tokens, wanted);
        runner.run(&batch)
    });
    assert_eq!(nothing.nrows(), 0);
    assert_eq!(last.nrows(), 1);
    assert_eq!(all.slice(s![8..9, ..]), last);
}

#[test]
fn a_refused_batch_changes_nothing() {
    let mut runner = Runner::new("gqa.gguf", false, 1);
    let vocabulary = runner.model.config().vocabulary;
    let sequence = runner.cache.add();
    let mut batch = Batch::default();
    batch.push(sequence, &[1, vocabulary as u32], Wanted::All);
    let Runner {
        model,
        compute,
        cache,
        scratch,
    } = &mut runner;
    let error = model.forward(compute, &batch, cache, scratch).unwrap_err();
    assert!(
        matches!(error, ModelError::TokenOutOfRange { token, .. } if token as usize == vocabulary)
    );
    assert_eq!(cache.len(sequence).unwrap(), 0);
}
