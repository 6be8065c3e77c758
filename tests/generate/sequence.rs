//! However a text is cut, cached or computed, it is the same text.

use dino_llm::dino_kernels::Kernels;
use dino_llm::{Error, Generator, Isa, KvType, Model, ModelError, SamplingParams};

use crate::common::{goldens, load, nmse, precise, try_load};

fn logits(model: &Model, ids: &[u32]) -> Vec<f32> {
    let logits = Generator::new(model).logits(ids).unwrap();
    logits.into_raw_vec_and_offset().0
}

fn ids(name: &str) -> Vec<u32> {
    goldens()
        .into_iter()
        .find(|golden| golden.name == name)
        .unwrap()
        .ids
}

#[test]
fn chunks_of_any_size_give_the_same_bits() {
    for golden in goldens() {
        let whole = logits(&golden.load(Model::builder()), &golden.ids);
        for chunk in [1, 2, 5, 15] {
            let model = golden.load(Model::builder().prompt_chunk(chunk));
            assert_eq!(
                logits(&model, &golden.ids),
                whole,
                "{} in chunks of {chunk}",
                golden.name
            );
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let params = SamplingParams::unfiltered(1.0)
        .with_seed(1)
        .with_max_tokens(40);
    for golden in goldens() {
        let results: Vec<_> = [1, 2, 5]
            .into_iter()
            .map(|threads| {
                let model = golden.load(Model::builder().threads(threads));
                assert_eq!(model.threads(), threads);
                let text = Generator::new(&model)
                    .generate(&golden.ids[..], &params)
                    .unwrap();
                (logits(&model, &golden.ids), text.tokens)
            })
            .collect();
        assert!(
            results.iter().all(|result| *result == results[0]),
            "{}",
            golden.name
        );
    }
}

#[test]
fn instruction_sets_agree() {
    for golden in goldens() {
        // The default type differs: where pairs of bf16 are multiplied, queries are rounded too.
        let builder = || Model::builder().kv_cache_type(KvType::F16);
        let precise = |isa| golden.load(builder().isa(isa).precise(true));
        let scalar = logits(&precise(Isa::Scalar), &golden.ids);
        for isa in Isa::under_test().unwrap() {
            let error = nmse(&logits(&precise(isa), &golden.ids), &scalar);
            assert!(error < 1e-6, "{} on {isa}: NMSE {error:e}", golden.name);
        }
    }
}

#[test]
fn what_is_remembered_gives_the_same_bits_as_a_fresh_run() {
    let model = load("gqa", Model::builder());
    let ids = ids("gqa");
    let fresh = logits(&model, &ids);
    let mut generator = Generator::new(&model);
    let params = SamplingParams::greedy().with_max_tokens(5).with_logprobs(3);
    let first = generator.generate(&ids[..9], &params).unwrap();
    assert_eq!(first.usage.cached_tokens, 0);

    let again = generator.generate(&ids[..9], &params).unwrap();
    assert_eq!(
        (again.usage.cached_tokens, again.stats.cached_tokens),
        (8, 8)
    );
    assert_eq!(again.tokens, first.tokens);

    // Back to 3 common tokens, then on: what was truncated is run anew.
    let mut other = ids.clone();
    other[3] ^= 1;
    assert_eq!(
        generator
            .generate(&other[..], &params)
            .unwrap()
            .usage
            .cached_tokens,
        3
    );
    let mut seen = Vec::new();
    generator
        .for_each_logits(&ids, 5, |position, row| seen.push((position, row.to_vec())))
        .unwrap();
    assert_eq!(
        seen.iter()
            .map(|(position, _)| *position)
            .collect::<Vec<_>>(),
        (5..16).collect::<Vec<_>>()
    );
    let rows = seen.into_iter().flat_map(|(_, row)| row);
    assert_eq!(
        rows.collect::<Vec<_>>(),
        fresh[5 * model.config().vocabulary..]
    );
}

#[test]
fn a_turn_goes_on_where_the_last_one_ended() {
    let model = precise("gqa");
    let mut generator = Generator::new(&model);
    let prompt = ids("gqa");
    let params = SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(6)
    };
    let turn = generator.generate(&prompt[..], &params).unwrap();
    let mut longer = prompt.clone();
    longer.extend(turn.tokens.iter().map(|token| token.id));
    longer.push(7);
    // All but the last token of the answer has been run.
    let next = generator.generate(&longer[..], &params).unwrap();
    assert_eq!(next.usage.cached_tokens, prompt.len() + 5);
    let fresh = Generator::new(&model)
        .generate(&longer[..], &params)
        .unwrap();
    assert_eq!(next.text, fresh.text);
}

#[test]
fn two_streams_of_a_generator_do_not_disturb_each_other() {
    let model = precise("gqa");
    let mut generator = Generator::new(&model);
    let params = SamplingParams::greedy().with_max_tokens(8);
    let (one, two) = (ids("gqa"), ids("bias"));
    let alone = [&one, &two].map(|ids| {
        Generator::new(&model)
            .generate(&ids[..], &params)
            .unwrap()
            .tokens
    });
    let mut streams = [&one, &two].map(|ids| generator.stream(&ids[..], &params).unwrap());
    let mut found = [Vec::new(), Vec::new()];
    for _ in 0..8 {
        for (stream, found) in streams.iter_mut().zip(&mut found) {
            found.extend(stream.next().map(Result::unwrap));
        }
    }
    assert_eq!(found, alone);
}

#[test]
fn a_stream_may_move_to_another_thread_and_outlive_its_generator() {
    let model = precise("gqa");
    let params = SamplingParams::greedy().with_max_tokens(8);
    let stream = Generator::new(&model)
        .stream(&ids("gqa")[..], &params)
        .unwrap();
    let elsewhere = std::thread::spawn(move || stream.into_completion().unwrap().tokens);
    let here = Generator::new(&model)
        .generate(&ids("gqa")[..], &params)
        .unwrap()
        .tokens;
    assert_eq!(elsewhere.join().unwrap(), here);
}

#[test]
fn models_are_shared_between_threads() {
    let model = load("gqa", Model::builder().threads(2));
    let params = SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(50)
    };
    let prompt = ids("gqa");
    let expected = Generator::new(&model)
        .generate(&prompt[..], &params)
        .unwrap()
        .tokens;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut generator = Generator::new(&model);
                assert_eq!(
                    generator.generate(&prompt[..], &params).unwrap().tokens,
                    expected
                );
            });
        }
    });
}

#[test]
fn too_long_a_context_is_an_error_with_both_numbers() {
    let model = load("gqa", Model::builder().context_length(10));
    assert_eq!(model.context_length(), 10);
    let mut generator = Generator::new(&model);
    let prompt = ids("gqa");
    for error in [
        generator
            .generate(&prompt[..10], &SamplingParams::greedy())
            .unwrap_err(),
        generator.logits(&prompt[..11]).unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::Model(ModelError::ContextOverflow {
                    needed: 11,
                    limit: 10
                })
            ),
            "{error}"
        );
    }
    let trained = model.config().context_length;
    let error = try_load("gqa", Model::builder().context_length(trained + 1)).unwrap_err();
    assert!(
        matches!(error, Error::ContextLength { limit, .. } if limit == trained),
        "{error}"
    );
}

#[test]
fn bad_prompts_are_errors_and_leave_the_generator_usable() {
    let model = precise("gqa");
    let mut generator = Generator::new(&model);
    let params = SamplingParams::greedy().with_max_tokens(4);
    let expected = generator.generate(&ids("gqa")[..], &params).unwrap().tokens;
    let empty = generator.generate(Vec::new(), &params).unwrap_err();
    assert!(matches!(empty, Error::EmptyPrompt), "{empty}");
    let unknown = generator.generate(vec![1, 1 << 20], &params).unwrap_err();
    assert!(
        matches!(
            unknown,
            Error::Model(ModelError::TokenOutOfRange {
                token: 1_048_576,
                vocabulary: 282
            })
        ),
        "{unknown}"
    );
    assert_eq!(
        generator.generate(&ids("gqa")[..], &params).unwrap().tokens,
        expected
    );
}

#[test]
fn a_model_says_how_it_keeps_keys_and_values() {
    let types = |isa, [keys, values]: [Option<KvType>; 2]| {
        let builder = Model::builder().isa(isa).kv_cache_types(keys, values);
        load("gqa", builder).kv_cache_types()
    };
    for isa in Isa::under_test().unwrap() {
        let usual = Kernels::for_isa(isa).unwrap().kv_type();
        assert!(matches!(usual, KvType::F16 | KvType::Bf16));
        assert_eq!(types(isa, [None, None]), usual.into());
        let chosen = types(isa, [None, Some(KvType::Q8_0)]);
        assert_eq!([chosen.keys, chosen.values], [usual, KvType::Q8_0]);
    }
    assert_eq!(types(Isa::Scalar, [None, None]), KvType::F16.into());
}
