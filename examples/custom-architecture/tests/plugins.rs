//! The plugins, seen from outside: what dino-llm does for its own architectures it does for these.

use custom_architecture::{Letters, MinGru, MiniCpm, NoRepeat, copy_as_minicpm, random_min_gru};
use dino_llm::dino_models::{Batch, Scratch, Wanted};
use dino_llm::{Error, Generator, KvType, Model, ModelError, Request, SamplingParams};
use ndarray::{Array2, Axis, concatenate, s};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A tiny Granite, whose logits transformers has confirmed; MiniCPM computes the same but for one key that it lacks.
fn granite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/tiny_architectures/granite.gguf")
}

fn mingru(folder: &Path) -> Model {
    let path = folder.join("mingru.gguf");
    random_min_gru(&path, 2, 64).unwrap();
    let builder = Model::builder().architecture(MinGru).precise(true);
    builder
        .tokenizer(Arc::new(Letters::default()))
        .load(path)
        .unwrap()
}

#[test]
fn a_key_that_the_delta_does_not_read_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("minicpm.gguf");
    copy_as_minicpm(&granite(), "granite", &path).unwrap();
    let builder = Model::builder()
        .architecture(MiniCpm)
        .tokenizer(Arc::new(Letters::default()));
    match builder.load(&path) {
        Err(Error::Model(ModelError::UnreadKeys { keys, .. })) => {
            assert_eq!(keys, ["minicpm.attention.scale"]);
        }
        other => panic!("expected an error that names the key, found {other:?}"),
    }
}

#[test]
fn without_the_plugin_the_architecture_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mingru.gguf");
    random_min_gru(&path, 1, 32).unwrap();
    let builder = Model::builder().tokenizer(Arc::new(Letters::default()));
    let error = builder.load(&path).unwrap_err();
    assert!(
        matches!(error, Error::Model(ModelError::UnknownArchitecture { .. })),
        "{error}"
    );
}

/// Logits of all positions of `texts`, which go through the model together in runs of `step` tokens.
fn logits(model: &Model, texts: &[&[u32]], step: usize) -> Vec<Array2<f32>> {
    let mut cache = model.config().new_cache(KvType::F32, None);
    let sequences: Vec<_> = texts.iter().map(|_| cache.add()).collect();
    let mut scratch = Scratch::new();
    let mut found = vec![Array2::zeros((0, model.config().vocabulary)); texts.len()];
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    for start in (0..longest).step_by(step) {
        let mut batch = Batch::default();
        let parts: Vec<_> = texts
            .iter()
            .map(|text| &text[start.min(text.len())..(start + step).min(text.len())])
            .collect();
        for (&sequence, part) in sequences.iter().zip(&parts) {
            batch.push(sequence, part, Wanted::All);
        }
        let language_model = model.language_model();
        language_model
            .forward(model.compute(), &batch, &mut cache, &mut scratch)
            .unwrap();
        let mut row = 0;
        for (found, part) in found.iter_mut().zip(&parts) {
            let rows = scratch.logits();
            let rows = rows.slice(s![row..row + part.len(), ..]);
            *found = concatenate(Axis(0), &[found.view(), rows]).unwrap();
            row += part.len();
        }
    }
    found
}

#[test]
fn a_recurrent_model_gives_the_same_logits_alone_together_and_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let model = mingru(folder.path());
    let texts: [&[u32]; 2] = [&[1, 5, 200, 17, 3, 3, 90], &[44, 2, 9]];
    let together = logits(&model, &texts, 16);
    let stepped = logits(&model, &texts, 1);
    let alone = texts.map(|text| logits(&model, &[text], 16).remove(0));
    assert_eq!(together, stepped);
    assert_eq!(together, alone);
    assert!(together[0].iter().all(|x| x.is_finite()));
    assert_ne!(
        together[0].row(4),
        together[0].row(5),
        "the state says what came before"
    );
}

/// The formula of the paper, written down once more in f64.
#[test]
fn a_recurrent_model_computes_what_its_paper_says() {
    let folder = tempfile::tempdir().unwrap();
    let model = mingru(folder.path());
    let file =
        dino_llm::dino_models::format::ModelFile::open(folder.path().join("mingru.gguf")).unwrap();
    let read = |name: String| -> Vec<f64> {
        let array = file.weights.get(&name).unwrap().to_array().unwrap();
        array.iter().map(|&x| f64::from(x)).collect()
    };
    let linear = |name: String, x: &[f64]| -> Vec<f64> {
        let weight = read(format!("{name}.weight"));
        let rows = weight.chunks_exact(x.len());
        let dot = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        let bias = if name == "output" {
            None
        } else {
            Some(read(format!("{name}.bias")))
        };
        rows.enumerate()
            .map(|(i, row)| dot(row) + bias.as_ref().map_or(0.0, |b| b[i]))
            .collect()
    };
    let norm = |name: &str, x: &[f64]| -> Vec<f64> {
        let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = (square + 1e-5).sqrt().recip();
        x.iter()
            .zip(read(name.to_owned()))
            .map(|(x, w)| x * scale * w)
            .collect()
    };
    let text = [72_u32, 101, 108, 108, 111];
    let table = read("token_embd.weight".into());
    let mut states = vec![vec![0.0; 64]; 2];
    let found = logits(&model, &[&text], 8).remove(0);
    for (token, found) in text.iter().zip(found.rows()) {
        let mut stream = table[64 * *token as usize..][..64].to_vec();
        for (layer, state) in states.iter_mut().enumerate() {
            let x = norm(&format!("blk.{layer}.norm.weight"), &stream);
            let gate = linear(format!("blk.{layer}.gate"), &x);
            let candidate = linear(format!("blk.{layer}.candidate"), &x);
            for ((h, gate), new) in state.iter_mut().zip(gate).zip(candidate) {
                let z = 1.0 / (1.0 + (-gate).exp());
                *h = (1.0 - z) * *h + z * new;
            }
            let out = linear(format!("blk.{layer}.output"), state);
            stream.iter_mut().zip(out).for_each(|(x, y)| *x += y);
        }
        let expected = linear("output".into(), &norm("output_norm.weight", &stream));
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-4,
                "{found} {expected}"
            );
        }
    }
}

#[test]
fn generation_of_a_plugin_streams_and_repeats_its_seed() {
    let folder = tempfile::tempdir().unwrap();
    let model = mingru(folder.path());
    let params = SamplingParams::default().with_seed(3).with_max_tokens(12);
    let mut generator = Generator::new(&model);
    let whole = generator.generate("begin", &params).unwrap();
    let streamed: String = generator
        .stream("begin", &params)
        .unwrap()
        .map(|token| token.unwrap().text)
        .collect();
    assert_eq!(whole.usage.completion_tokens, 12);
    assert_eq!(whole.text, streamed);
}

#[test]
fn a_processor_of_ones_own_has_the_first_word() {
    let folder = tempfile::tempdir().unwrap();
    let model = mingru(folder.path());
    let params = SamplingParams::default()
        .with_temperature(0.0)
        .with_max_tokens(200);
    let ids = |request| -> Vec<u32> {
        let completion = Generator::new(&model)
            .start(request)
            .unwrap()
            .into_completion()
            .unwrap();
        completion.tokens.iter().map(|token| token.id).collect()
    };
    let repeats = |ids: &[u32]| {
        let runs: Vec<_> = ids.windows(2).collect();
        (1..runs.len()).any(|i| runs[..i].contains(&runs[i]))
    };
    assert!(
        repeats(&ids(Request::new("a", &params))),
        "greedy text of a small state repeats itself"
    );
    assert!(!repeats(&ids(
        Request::new("a", &params).processor(NoRepeat(2))
    )));
}
