//! A decode step allocates nothing: every buffer is in the scratch, the sampler or the cache.
//!
//! The one test of this file counts the allocations of all threads of the process.

use std::alloc::System;
use std::path::Path;

use dino_llm::dino_models::{Batch, Cache, Scratch, SequenceId, Wanted};
use dino_llm::{Generator, KvType, Model, Sampler, SamplingParams, TokenContext};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Prompt, warm-up and counted steps together stay within one page of the cache: a new page is memory that is needed.
const PROMPT: [u32; 9] = [1, 5, 9, 2, 6, 8, 3, 4, 7];
const WARM_UP: usize = 4;
const STEPS: usize = 40;

fn allocations(work: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    work();
    let change = region.change();
    change.allocations + change.reallocations
}

/// Two sequences that take each step together, greedily and by chance.
struct Decoding<'a> {
    model: &'a Model,
    cache: Cache,
    scratch: Scratch,
    batch: Batch,
    sequences: [SequenceId; 2],
    samplers: [Sampler; 2],
    last: [u32; 2],
}

impl<'a> Decoding<'a> {
    fn new(model: &'a Model) -> Self {
        let mut cache = model.new_cache();
        let sequences = [cache.add(), cache.add()];
        let penalised = SamplingParams {
            repetition_penalty: 1.2,
            top_k: 0,
            typical_p: 0.98,
            ..SamplingParams::balanced()
        };
        let sampler = |params: &SamplingParams| Sampler::new(&params.clone().with_seed(1), &[]);
        let mut decoding = Self {
            model,
            cache,
            scratch: Scratch::new(),
            batch: Batch::default(),
            sequences,
            samplers: [SamplingParams::greedy(), penalised].map(|params| sampler(&params).unwrap()),
            last: [0; 2],
        };
        decoding.run(&PROMPT);
        decoding
    }

    fn run(&mut self, tokens: &[u32]) {
        self.batch.clear();
        for sequence in self.sequences {
            self.batch.push(sequence, tokens, Wanted::Last);
        }
        self.forward();
    }

    fn step(&mut self) {
        self.batch.clear();
        for (sequence, token) in self.sequences.iter().zip(&self.last) {
            self.batch
                .push(*sequence, std::slice::from_ref(token), Wanted::Last);
        }
        self.forward();
    }

    fn forward(&mut self) {
        let (model, compute) = (self.model.language_model(), self.model.compute());
        model
            .forward(compute, &self.batch, &mut self.cache, &mut self.scratch)
            .unwrap();
        let context = TokenContext {
            prompt: &PROMPT,
            generated: &self.last,
        };
        let mut next = self.last;
        for (row, sampler) in self.samplers.iter_mut().enumerate() {
            let logits = self.scratch.logits_mut(row);
            next[row] = sampler.sample(logits, &context).unwrap().id;
        }
        self.last = next;
    }
}

fn load(name: &str, threads: usize, kv: KvType) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny");
    let builder = Model::builder().threads(threads).kv_cache_type(kv);
    builder.load(folder.join(name)).unwrap()
}

#[test]
fn a_decode_step_allocates_nothing() {
    for (name, threads, kv) in [
        ("gqa.gguf", 1, KvType::F16),
        ("gqa.gguf", 3, KvType::F16),
        ("quantized.gguf", 3, KvType::Q8_0),
        ("head_dim.gguf", 3, KvType::Q4_0),
        ("bias.gguf", 3, KvType::Bf16),
        ("spm.gguf", 3, KvType::F32),
    ] {
        let model = load(name, threads, kv);
        let mut decoding = Decoding::new(&model);
        (0..WARM_UP).for_each(|_| decoding.step());
        let count = allocations(|| (0..STEPS).for_each(|_| decoding.step()));
        assert_eq!(count, 0, "{name}, {threads} threads, {kv}: {STEPS} steps");
    }
    text_allocates_little();
}

/// A token of a stream owns its text, and lists of tokens and of text grow: no more than that.
fn text_allocates_little() {
    let model = load("spm.gguf", 1, KvType::F16);
    let mut generator = Generator::new(&model);
    let params = SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(STEPS)
    };
    let mut stream = generator.stream("a", &params).unwrap();
    (0..WARM_UP).for_each(|_| drop(stream.next().unwrap().unwrap()));
    let count = allocations(|| {
        for token in stream.by_ref() {
            drop(token.unwrap());
        }
    });
    assert!(
        count <= 8 * (STEPS - WARM_UP),
        "{count} allocations for the text of {} tokens",
        STEPS - WARM_UP
    );
}
