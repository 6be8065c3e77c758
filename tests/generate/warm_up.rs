//! A warm model is the same model.

use dino_llm::{Completion, Generator, Model, SamplingParams};

use crate::common::{Golden, goldens, load};

fn text(model: &Model, golden: &Golden) -> Completion {
    let params = SamplingParams::unfiltered(1.0)
        .with_seed(7)
        .with_max_tokens(12)
        .with_logprobs(2);
    let mut generator = Generator::new(model);
    generator.generate(&golden.ids[..], &params).unwrap()
}

/// The reports of a warm-up.
fn warm_up(model: &Model) -> Vec<(usize, usize)> {
    let mut reports = Vec::new();
    let report = |done, total| reports.push((done, total));
    model.warm_up_with(report).unwrap();
    reports
}

#[test]
fn warming_up_changes_no_later_result() {
    for golden in goldens() {
        let cold = golden.load(Model::builder());
        let warm = golden.load(Model::builder());
        assert_eq!(warm_up(&warm), [(1, 2), (2, 2)]);
        let expected = text(&cold, &golden);
        for _ in 0..2 {
            assert_eq!(
                text(&warm, &golden).tokens,
                expected.tokens,
                "{}",
                golden.name
            );
            warm.warm_up().unwrap();
        }
    }
}

#[test]
fn a_packed_file_is_read_first() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || Model::builder().packed_cache(folder.path().join("packed"));
    let written = load("gqa", builder());
    let used = load("gqa", builder());
    for model in [&written, &used] {
        assert_eq!(warm_up(model), [(1, 3), (2, 3), (3, 3)]);
    }
    // The file may go: a map of it stays.
    drop(folder);
    assert_eq!(warm_up(&used), [(1, 2), (2, 2)]);
}

#[test]
fn the_smallest_context_is_warmed_up_too() {
    let one = load("gqa", Model::builder().context_length(1));
    assert_eq!(warm_up(&one), [(1, 1)]);
    let two = load("gqa", Model::builder().context_length(2));
    assert_eq!(warm_up(&two), [(1, 2), (2, 2)]);
}
