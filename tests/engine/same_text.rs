//! A request's text is the one it would get alone, to the bit.

use std::borrow::Cow;
use std::sync::Arc;

use dino_llm::dino_models::tokenizer::{SpecialTokens, TokenizerError};
use dino_llm::{EncodeOptions, Engine, EngineOptions, Model, SamplingParams, Tokenizer};

use crate::common::{goldens, load};
use crate::requests::{alone, endless, prompt, request};

/// Requests of many lengths and ways to sample; log probabilities show every bit.
fn mixed() -> Vec<(Vec<u32>, SamplingParams)> {
    let lengths = [1, 40, 3, 90, 17, 64, 65, 128, 5, 30, 2, 70];
    let requests = lengths.into_iter().enumerate().map(|(number, length)| {
        let params = match number % 3 {
            0 => SamplingParams::greedy().with_max_tokens(20 + number),
            1 => endless(30 - number),
            _ => SamplingParams {
                repetition_penalty: 1.3,
                ..endless(9 + number)
            },
        };
        (prompt(number, length), params.with_logprobs(2))
    });
    requests.collect()
}

#[test]
fn together_as_alone_in_every_model() {
    for golden in goldens() {
        let model = golden.load(Model::builder());
        together_as_alone(&model, EngineOptions::default(), &golden.name);
    }
}

#[test]
fn together_as_alone_in_steps_of_any_size() {
    let model = load("gqa", Model::builder());
    for (max_batch_tokens, max_sequences) in [(1, 1), (3, 2), (7, 5), (200, 12)] {
        let options = EngineOptions {
            max_batch_tokens: Some(max_batch_tokens),
            max_sequences,
            ..EngineOptions::default()
        };
        together_as_alone(&model, options, &format!("steps of {max_batch_tokens}"));
    }
}

#[test]
fn together_as_alone_where_the_cache_is_too_small_for_all() {
    let model = load("gqa", Model::builder());
    let page = model.new_cache().layout().page_bytes();
    for pages in [3, 4, 7] {
        let options = EngineOptions {
            cache_memory: Some(pages * page),
            max_batch_tokens: Some(50),
            ..EngineOptions::default()
        };
        together_as_alone(&model, options, &format!("{pages} pages"));
    }
}

fn together_as_alone(model: &Model, options: EngineOptions, case: &str) {
    let requests = mixed();
    let engine = Engine::new(model, options).unwrap();
    let together = engine.generate_batch(requests.iter().map(|(ids, params)| request(ids, params)));
    assert_eq!(together.len(), requests.len());
    for ((ids, params), found) in requests.iter().zip(together) {
        let (found, expected) = (found.unwrap(), alone(model, ids, params));
        let what = format!("{case}: prompt of {} tokens", ids.len());
        assert_eq!(found.tokens, expected.tokens, "{what}");
        assert_eq!(found.text, expected.text, "{what}");
        assert_eq!(found.finish_reason, expected.finish_reason, "{what}");
        let counts = |usage: dino_llm::Usage| (usage.prompt_tokens, usage.completion_tokens);
        assert_eq!(counts(found.usage), counts(expected.usage), "{what}");
    }
}

#[test]
fn many_answers_to_one_prompt_run_it_once() {
    let model = load("gqa", Model::builder());
    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    let ids = prompt(1, 150);
    let params = |seed| endless(12).with_seed(seed);
    let answers = engine.generate_batch((0..5).map(|seed| request(&ids, &params(seed))));
    for (seed, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(
            answer.tokens,
            alone(&model, &ids, &params(seed as u64)).tokens
        );
        let shared = if seed == 0 { 0 } else { ids.len() - 1 };
        assert_eq!(answer.usage.cached_tokens, shared, "answer {seed}");
    }
}

#[test]
fn what_others_have_run_is_not_run_again() {
    let model = load("gqa", Model::builder());
    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    let params = endless(40);
    let ask = |ids: &[u32]| {
        let stream = engine.submit(request(ids, &params)).unwrap();
        let answer = stream.into_completion().unwrap();
        assert_eq!(answer.tokens, alone(&model, ids, &params).tokens);
        answer
    };
    let first = prompt(1, 150);
    let answer = ask(&first);
    assert_eq!(answer.usage.cached_tokens, 0);
    // The next turn of a conversation: all but the answer's last token was run.
    let mut turn = first.clone();
    turn.extend(answer.tokens.iter().map(|token| token.id));
    turn.extend(prompt(2, 10));
    assert_eq!(ask(&turn).usage.cached_tokens, 150 + 39);
    // Another conversation with the same beginning, which ends within a page.
    let other = [&first[..100], &prompt(3, 30)].concat();
    assert_eq!(ask(&other).usage.cached_tokens, 100);
    assert_eq!(ask(&first).usage.cached_tokens, 149);
}

/// Tokens that are a letter each: these files have no vocabulary.
pub(crate) struct Letters(pub(crate) SpecialTokens);

/// Tokens that each of these models has, at least.
pub(crate) const LETTERS: usize = 64;

impl Tokenizer for Letters {
    fn encode(&self, _: &str, _: EncodeOptions) -> Result<Vec<u32>, TokenizerError> {
        Ok(Vec::new())
    }
    fn token_bytes(&self, _: u32) -> Result<Cow<'_, [u8]>, TokenizerError> {
        Ok(Cow::Borrowed(b"x"))
    }
    fn vocab_size(&self) -> usize {
        LETTERS
    }
    fn special(&self) -> &SpecialTokens {
        &self.0
    }
    fn is_special(&self, _: u32) -> bool {
        false
    }
    fn is_end_of_generation(&self, _: u32) -> bool {
        false
    }
    fn token_id(&self, _: &str) -> Option<u32> {
        None
    }
}

/// Mixtures of experts, windows, stretched rotations: whatever an architecture does, rows do not feel their neighbours.
#[test]
fn together_as_alone_in_every_architecture() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/tiny_architectures"
    );
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut tried = 0;
    for path in paths.filter(|path| path.extension().is_some_and(|end| end == "gguf")) {
        let model = Model::builder()
            .tokenizer(Arc::new(Letters(SpecialTokens::default())))
            .load(&path)
            .unwrap();
        let context = model.context_length();
        let requests: Vec<_> = (0..5)
            .map(|number| {
                let mut ids = prompt(number, [3, 1, 20, 9, 30][number].min(context / 2));
                ids.iter_mut().for_each(|id| *id %= LETTERS as u32);
                (ids, endless(4 + 3 * number).with_logprobs(1))
            })
            .collect();
        let engine = Engine::new(&model, EngineOptions::default()).unwrap();
        // The second time everything begins with what the cache remembers.
        for round in 0..2 {
            let together = requests.iter().map(|(ids, params)| request(ids, params));
            let together = engine.generate_batch(together);
            for ((ids, params), found) in requests.iter().zip(together) {
                let expected = alone(&model, ids, params);
                let what = format!("{}, round {round}", path.display());
                assert_eq!(found.unwrap().tokens, expected.tokens, "{what}");
            }
        }
        tried += 1;
    }
    assert!(tried > 20, "{tried} models");
}
