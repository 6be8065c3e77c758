//! Ending a generation from elsewhere.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dino_llm::dino_core::{Observe, WeightPlace};
use dino_llm::dino_kernels::Compute;
use dino_llm::dino_models::arch::{Llama, Loader, Spec};
use dino_llm::dino_models::format::Metadata;
use dino_llm::dino_models::{Batch, Cache, CausalLm, Scratch, Wanted};
use dino_llm::{
    Architecture, CancelToken, Config, Engine, EngineError, EngineOptions, Error, FinishReason,
    Generator, Model, ModelError, Request, SamplingParams,
};
use ndarray::ArrayView2;

use crate::common::{load, precise};

/// A llama that counts its forward passes and cancels `token` in one of them.
struct Cancelling {
    token: CancelToken,
    at: usize,
    passes: Arc<AtomicUsize>,
}

struct CancellingModel {
    llama: Box<dyn CausalLm>,
    token: CancelToken,
    at: usize,
    passes: Arc<AtomicUsize>,
}

impl Architecture for Cancelling {
    fn names(&self) -> &[&str] {
        &["llama"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        Llama.spec(metadata)
    }

    fn build(&self, loader: &mut Loader<'_>) -> Result<Box<dyn CausalLm>, ModelError> {
        Ok(Box::new(CancellingModel {
            llama: Llama.build(loader)?,
            token: self.token.clone(),
            at: self.at,
            passes: Arc::clone(&self.passes),
        }))
    }
}

impl CausalLm for CancellingModel {
    fn config(&self) -> &Config {
        self.llama.config()
    }

    fn forward(
        &self,
        compute: &Compute,
        batch: &Batch,
        cache: &mut Cache,
        scratch: &mut Scratch,
    ) -> Result<(), ModelError> {
        if self.passes.fetch_add(1, Ordering::Relaxed) + 1 == self.at {
            self.token.cancel();
        }
        self.llama.forward(compute, batch, cache, scratch)
    }
}

#[test]
fn a_prompt_is_cancelled_between_its_chunks() {
    let (token, passes) = (CancelToken::new(), Arc::new(AtomicUsize::new(0)));
    let architecture = Cancelling {
        token: token.clone(),
        at: 3,
        passes: Arc::clone(&passes),
    };
    let model = load(
        "gqa",
        Model::builder().prompt_chunk(4).architecture(architecture),
    );
    let mut generator = Generator::new(&model);
    let prompt: Vec<u32> = (0..40).collect();
    let params = SamplingParams::greedy().with_max_tokens(4);
    let request = Request::new(&prompt[..], &params).cancel(&token);
    let completion = generator.start(request).unwrap().into_completion().unwrap();
    assert_eq!(completion.finish_reason, FinishReason::Cancelled);
    assert_eq!((completion.text.as_str(), completion.tokens.len()), ("", 0));
    assert_eq!(passes.load(Ordering::Relaxed), 3);
    // What was run whole is remembered.
    let next = generator.generate(&prompt[..], &params).unwrap();
    assert_eq!(next.usage.cached_tokens, 8);
}

/// Cancels `token` when the first layer reads its input, and notes which layers read any.
struct CancellingObserver {
    token: CancelToken,
    layers: Mutex<Vec<String>>,
}

impl Observe for CancellingObserver {
    fn linear_input(&self, weight: WeightPlace<'_>, _rows: ArrayView2<'_, f32>) {
        self.token.cancel();
        let layer = weight.name.split('.').take(2).collect::<Vec<_>>().join(".");
        let mut layers = self.layers.lock().unwrap();
        if layers.last() != Some(&layer) {
            layers.push(layer);
        }
    }
}

#[test]
fn a_pass_is_cancelled_between_its_layers() {
    for with_engine in [false, true] {
        let observer = Arc::new(CancellingObserver {
            token: CancelToken::new(),
            layers: Mutex::default(),
        });
        let model = load("gqa", Model::builder().observer(observer.clone()));
        assert!(model.config().layers > 1);
        let params = SamplingParams::greedy();
        let request = Request::new("lo and behold", &params).cancel(&observer.token);
        let completion = if with_engine {
            let engine = Engine::new(&model, EngineOptions::default()).unwrap();
            let stream = engine.submit(request).unwrap();
            stream.into_completion().unwrap()
        } else {
            let mut generator = Generator::new(&model);
            let stream = generator.start(request).unwrap();
            stream.into_completion().unwrap()
        };
        assert_eq!(completion.finish_reason, FinishReason::Cancelled);
        assert_eq!(*observer.layers.lock().unwrap(), ["blk.0"]);
    }
}

/// Cancels `token` in the first pass of more than 20 rows, and counts the layers that see so many.
struct CancellingLargePasses {
    token: CancelToken,
    layers: AtomicUsize,
}

impl Observe for CancellingLargePasses {
    fn linear_input(&self, weight: WeightPlace<'_>, rows: ArrayView2<'_, f32>) {
        if rows.nrows() > 20 {
            self.token.cancel();
            let is_first = weight.name.ends_with("attn_q.weight");
            self.layers.fetch_add(is_first.into(), Ordering::Relaxed);
        }
    }
}

#[test]
fn a_large_prompt_is_cancelled_between_layers_beside_texts_that_go_on() {
    let observer = Arc::new(CancellingLargePasses {
        token: CancelToken::new(),
        layers: AtomicUsize::new(0),
    });
    let model = load("gqa", Model::builder().observer(observer.clone()));
    let params = SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(40)
    };
    let alone = Generator::new(&model).generate("lo", &params).unwrap();
    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    let mut other = engine.submit(Request::new("lo", &params)).unwrap();
    let first = other.next().unwrap().unwrap();
    let prompt: Vec<u32> = (0..60).collect();
    let request = Request::new(&prompt[..], &params).cancel(&observer.token);
    let cancelled = engine.submit(request).unwrap().into_completion().unwrap();
    assert_eq!(cancelled.finish_reason, FinishReason::Cancelled);
    assert_eq!(observer.layers.load(Ordering::Relaxed), 1);
    let tokens = other.into_completion().unwrap().tokens;
    assert_eq!(tokens[0].id, first.id);
    assert_eq!(tokens, alone.tokens);
}

#[test]
fn a_cancelled_pass_leaves_nothing_behind() {
    let model = precise("gqa");
    let (prompt, params) = ([1, 2, 3, 4, 5], SamplingParams::greedy().with_max_tokens(6));
    let expected = Generator::new(&model)
        .generate(&prompt[..], &params)
        .unwrap();
    let flag = Arc::new(AtomicBool::new(true));
    let mut cache = model.new_cache();
    let (sequence, mut batch, mut scratch) = (cache.add(), Batch::default(), Scratch::new());
    let mut run = |tokens: &[u32], cancelled: bool| {
        batch.clear();
        if cancelled {
            batch.cancel_by(&flag);
        }
        batch.push(sequence, tokens, Wanted::Last);
        let (compute, language_model) = (model.compute(), model.language_model());
        language_model.forward(compute, &batch, &mut cache, &mut scratch)?;
        let logits = scratch.logits().row(0).to_owned();
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        Ok::<_, ModelError>(best.unwrap().0 as u32)
    };
    let mut token = run(&prompt, false).unwrap();
    for expected in &expected.tokens {
        assert_eq!(token, expected.id);
        let cancelled = run(&[token], true);
        assert!(matches!(cancelled, Err(ModelError::Cancelled)));
        token = run(&[token], false).unwrap();
    }
}

#[test]
fn a_text_is_cancelled_between_its_tokens() {
    let mut generator = Generator::new(&precise("gqa"));
    let params = SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy()
    };
    let mut stream = generator.stream("lo", &params).unwrap();
    let token = stream.cancel_token();
    for _ in 0..3 {
        stream.next().unwrap().unwrap();
    }
    token.cancel();
    assert!(stream.next().is_none());
    assert_eq!(stream.finish_reason(), Some(FinishReason::Cancelled));
    assert_eq!(stream.into_completion().unwrap().tokens.len(), 3);
}

#[test]
fn a_dropped_stream_leaves_what_it_ran() {
    let mut generator = Generator::new(&precise("gqa"));
    let prompt = [1, 2, 3, 4, 5];
    let mut stream = generator
        .stream(&prompt[..], &SamplingParams::greedy())
        .unwrap();
    stream.next().unwrap().unwrap();
    drop(stream);
    let next = generator
        .generate(&prompt[..], &SamplingParams::greedy().with_max_tokens(1))
        .unwrap();
    assert_eq!(next.usage.cached_tokens, 4);
}

#[test]
fn a_prompt_tells_how_far_it_is_and_ends_when_that_cancels_it() {
    let model = load("gqa", Model::builder().prompt_chunk(4));
    let prompt: Vec<u32> = (0..10).collect();
    let params = SamplingParams::greedy().with_max_tokens(3);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watched = |token: &CancelToken, until: usize| {
        let (seen, cancel) = (Arc::clone(&seen), token.clone());
        let report = move |done, total| {
            seen.lock().unwrap().push((done, total));
            if done >= until {
                cancel.cancel();
            }
        };
        let request = Request::new(&prompt[..], &params).cancel(token);
        request.on_prompt_progress(report)
    };
    let mut generator = Generator::new(&model);
    let (token, never) = (CancelToken::new(), usize::MAX);
    let cancelled = generator.start(watched(&token, 8)).unwrap();
    let cancelled = cancelled.into_completion().unwrap();
    assert_eq!(cancelled.finish_reason, FinishReason::Cancelled);
    assert_eq!(cancelled.tokens.len(), 0);
    assert_eq!(*seen.lock().unwrap(), [(4, 10), (8, 10)]);

    // What was run before counts as done; tokens of the answer do not count.
    seen.lock().unwrap().clear();
    let whole = generator.start(watched(&CancelToken::new(), never));
    let whole = whole.unwrap().into_completion().unwrap();
    assert_eq!(whole.tokens.len(), 3);
    assert_eq!(*seen.lock().unwrap(), [(10, 10)]);

    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    seen.lock().unwrap().clear();
    let token = CancelToken::new();
    let cancelled = engine.submit(watched(&token, 8)).unwrap();
    let cancelled = cancelled.into_completion().unwrap();
    assert_eq!(cancelled.finish_reason, FinishReason::Cancelled);
    assert_eq!(cancelled.tokens.len(), 0);
    assert_eq!(*seen.lock().unwrap(), [(4, 10), (8, 10)]);
    let request = Request::new(&prompt[..], &params);
    let request = request.on_prompt_progress(|_, _| panic!("too far"));
    let error = engine.submit(request).unwrap().into_completion();
    let error = error.unwrap_err();
    assert!(
        matches!(&error, Error::Engine(EngineError::ProcessorPanicked { message }) if message == "too far"),
        "{error}"
    );
    let next = engine.submit(watched(&CancelToken::new(), never)).unwrap();
    assert_eq!(next.into_completion().unwrap().tokens, whole.tokens);
}
