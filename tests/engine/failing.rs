//! What is wrong with one request is no other's trouble.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dino_llm::dino_kernels::Compute;
use dino_llm::dino_models::arch::{Llama, Loader, Spec};
use dino_llm::dino_models::format::Metadata;
use dino_llm::dino_models::{Batch, Cache, CausalLm, Scratch};
use dino_llm::{
    Architecture, Config, Engine, EngineError, EngineOptions, Error, Model, ModelError, Request,
    SamplingError, SamplingParams, TokenContext,
};

use crate::common::{load, precise};
use crate::requests::{alone, endless, prompt, request};

#[test]
fn a_processor_that_panics_or_fails_fails_its_request_alone() {
    let engine = Engine::new(&precise("gqa"), EngineOptions::default()).unwrap();
    let ids = prompt(1, 30);
    let panicking = |context: &TokenContext<'_>, _: &mut [f32]| {
        assert!(context.generated.len() < 3, "three is enough");
    };
    let masking = |_: &TokenContext<'_>, logits: &mut [f32]| logits.fill(f32::NEG_INFINITY);
    let mut results = engine.generate_batch([
        request(&ids, &endless(20)).processor(panicking),
        request(&ids, &endless(20)),
        request(&ids, &endless(20)).processor(masking),
    ]);
    let masked = results.pop().unwrap().unwrap_err();
    assert!(
        matches!(masked, Error::Sampling(SamplingError::AllMasked { .. })),
        "{masked}"
    );
    let whole = results.pop().unwrap().unwrap();
    assert_eq!(
        whole.tokens,
        alone(engine.model(), &ids, &endless(20)).tokens
    );
    let panicked = results.pop().unwrap().unwrap_err();
    match panicked {
        Error::Engine(EngineError::ProcessorPanicked { message }) => {
            assert_eq!(message, "three is enough");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn bad_requests_are_refused_when_they_are_submitted() {
    let model = load("gqa", Model::builder());
    let page = model.new_cache().layout().page_bytes();
    let options = EngineOptions {
        cache_memory: Some(2 * page),
        ..EngineOptions::default()
    };
    let engine = Engine::new(&model, options).unwrap();
    let params = SamplingParams::greedy();
    let submit = |request: Request| engine.submit(request).unwrap_err();

    let error = submit(Request::new("a", &params.clone().with_temperature(-1.0)));
    assert!(matches!(error, Error::Sampling(_)), "{error}");
    let error = submit(Request::new(Vec::new(), &params));
    assert!(matches!(error, Error::EmptyPrompt), "{error}");
    let error = submit(Request::new(vec![1, 1 << 20], &params));
    assert!(
        matches!(error, Error::Model(ModelError::TokenOutOfRange { .. })),
        "{error}"
    );
    assert_eq!(engine.context_length(), 128);
    let error = submit(Request::new(prompt(1, 128), &params));
    assert!(
        matches!(
            error,
            Error::Model(ModelError::ContextOverflow {
                needed: 129,
                limit: 128
            })
        ),
        "{error}"
    );
    // A text ends where the whole cache is its own.
    let full = engine.submit(request(&prompt(1, 100), &endless(1000)));
    assert_eq!(full.unwrap().into_completion().unwrap().tokens.len(), 28);
}

/// A llama whose forward pass goes wrong once.
struct Failing {
    passes: Arc<AtomicUsize>,
    panics: bool,
}

struct FailingModel {
    llama: Box<dyn CausalLm>,
    passes: Arc<AtomicUsize>,
    panics: bool,
}

impl Architecture for Failing {
    fn names(&self) -> &[&str] {
        &["llama"]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        Llama.spec(metadata)
    }

    fn build(&self, loader: &mut Loader<'_>) -> Result<Box<dyn CausalLm>, ModelError> {
        Ok(Box::new(FailingModel {
            llama: Llama.build(loader)?,
            passes: Arc::clone(&self.passes),
            panics: self.panics,
        }))
    }
}

impl CausalLm for FailingModel {
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
        if self.passes.fetch_add(1, Ordering::Relaxed) == 3 {
            assert!(!self.panics, "the fourth pass");
            return Err(ModelError::UnknownSequence);
        }
        self.llama.forward(compute, batch, cache, scratch)
    }
}

#[test]
fn a_failed_pass_fails_its_batch_and_the_engine_goes_on() {
    for panics in [false, true] {
        let passes = Arc::new(AtomicUsize::new(0));
        let architecture = Failing {
            passes: Arc::clone(&passes),
            panics,
        };
        let model = load("gqa", Model::builder().architecture(architecture));
        let engine = Engine::new(&model, EngineOptions::default()).unwrap();
        let ask = |number| request(&prompt(number, 9), &endless(20));
        for result in engine.generate_batch([ask(1), ask(2)]) {
            let error = result.unwrap_err();
            let is_expected = match &error {
                Error::Engine(EngineError::ModelPanicked { message }) => {
                    panics && message == "the fourth pass"
                }
                Error::Engine(EngineError::StepFailed { .. })
                | Error::Model(ModelError::UnknownSequence) => !panics,
                _ => false,
            };
            assert!(is_expected, "{error}");
        }
        let next = engine.submit(ask(1)).unwrap().into_completion().unwrap();
        assert_eq!(
            next.tokens,
            alone(&model, &prompt(1, 9), &endless(20)).tokens
        );
    }
}
