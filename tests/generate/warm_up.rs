//! A warm model is the same model.

use dino_llm::{Completion, Generator, Model, ModelBuilder, SamplingParams};

use crate::common::{Golden, goldens, load};

fn text(model: &Model, golden: &Golden) -> Completion {
    let params = SamplingParams::unfiltered(1.0)
        .with_seed(7)
        .with_max_tokens(12)
        .with_logprobs(2);
    let mut generator = Generator::new(model);
    generator.generate(&golden.ids[..], &params).unwrap()
}

/// Models whose kernels were never measured.
fn untuned() -> ModelBuilder {
    Model::builder().tuning_file(None)
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
        let warm = golden.load(untuned());
        assert_eq!(warm_up(&warm), [(1, 3), (2, 3), (3, 3)]);
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
    let builder = || untuned().packed_cache(folder.path().join("packed"));
    let written = load("gqa", builder());
    let used = load("gqa", builder());
    for model in [&written, &used] {
        assert_eq!(warm_up(model), [(1, 4), (2, 4), (3, 4), (4, 4)]);
    }
    // The file may go: a map of it stays.
    drop(folder);
    assert_eq!(warm_up(&used), [(1, 2), (2, 2)]);
}

#[test]
fn the_smallest_context_is_warmed_up_too() {
    let one = load("gqa", untuned().context_length(1));
    assert_eq!(warm_up(&one), [(1, 2), (2, 2)]);
    let two = load("gqa", untuned().context_length(2));
    assert_eq!(warm_up(&two), [(1, 3), (2, 3), (3, 3)]);
}

#[test]
fn what_was_measured_is_kept_and_read_and_changes_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/tuning.json");
    let builder = || Model::builder().tuning_file(Some(path.clone()));
    let golden = &goldens()[0];
    let expected = text(&golden.load(untuned()), golden);
    let measured = golden.load(builder());
    assert!(!path.exists());
    assert_eq!(warm_up(&measured).len(), 3);
    assert_eq!(text(&measured, golden).tokens, expected.tokens);
    let kept = std::fs::read_to_string(&path).unwrap();
    let read = golden.load(builder());
    assert_eq!(read.compute().tuning(), measured.compute().tuning());
    assert_eq!(warm_up(&read).len(), 2);
    // Another choice than any that is measured, as an earlier process might have made it.
    let usual = format!("\"task_work\": {}", read.compute().tuning().task_work);
    assert!(kept.contains(&usual), "{kept}");
    std::fs::write(&path, kept.replace(&usual, "\"task_work\": 1234")).unwrap();
    let other = golden.load(builder());
    assert_eq!(other.compute().tuning().task_work, 1234);
    assert_eq!(text(&other, golden).tokens, expected.tokens);
    for damaged in [
        kept[..kept.len() / 2].to_owned(),
        kept.replace(&usual, "\"task_work\": 0"),
        kept.replace("\"version\": \"", "\"version\": \"0."),
        String::from_utf8(vec![b' '; 1 << 20]).unwrap(),
    ] {
        std::fs::write(&path, &damaged).unwrap();
        let model = golden.load(builder());
        assert_eq!(model.compute().tuning(), model.compute().kernels.tuning());
        assert_eq!(warm_up(&model).len(), 3);
        assert_ne!(std::fs::read_to_string(&path).unwrap(), damaged);
    }
}

#[test]
fn a_tuning_that_cannot_be_kept_is_used_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "a file where a folder should be").unwrap();
    let path = blocked.join("tuning.json");
    let model = load("gqa", Model::builder().tuning_file(Some(path)));
    assert_eq!(warm_up(&model).len(), 3);
    assert_eq!(warm_up(&model).len(), 2);
}

#[test]
fn a_load_says_what_it_did_and_when() {
    let folder = tempfile::tempdir().unwrap();
    let packed = || Model::builder().packed_cache(folder.path().join("packed"));
    for builder in [
        Model::builder(),
        Model::builder().mmap(false),
        packed(),
        packed(),
    ] {
        let model = load("gqa", builder);
        let phases = model.load_phases();
        let names: Vec<_> = phases.iter().map(|phase| phase.name).collect();
        assert_eq!(names, ["open", "weights", "tokenizer"]);
        for phase in phases {
            let ordered = phase.start <= phase.end && phase.end <= model.load_time();
            assert!(ordered, "{phase:?} of {:?}", model.load_time());
            // Side by side, but nothing before the file is open.
            assert!(phase.name == "open" || phase.start >= phases[0].end);
        }
    }
}
