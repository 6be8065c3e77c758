//! What an engine counts.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use dino_llm::{Energy, Engine, EngineOptions, MetricsSnapshot, TokenContext};

use crate::common::precise;
use crate::requests::{endless, prompt, request};

/// The counts when nothing runs any more.
fn idle(engine: &Engine) -> MetricsSnapshot {
    loop {
        let counts = engine.metrics().snapshot();
        if counts.running + counts.waiting == 0 {
            return counts;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn tokens_requests_and_times_are_counted() {
    let options = EngineOptions {
        powercap: "/nowhere".into(),
        ..EngineOptions::default()
    };
    let engine = Engine::new(&precise("gqa"), options).unwrap();
    let ids = prompt(1, 90);
    for _ in 0..2 {
        let stream = engine.submit(request(&ids, &endless(11))).unwrap();
        stream.into_completion().unwrap();
    }
    let failing = |_: &TokenContext<'_>, _: &mut [f32]| panic!("no");
    let failed = engine.submit(request(&prompt(2, 5), &endless(3)).processor(failing));
    failed.unwrap().into_completion().unwrap_err();

    let counts = idle(&engine);
    assert_eq!(counts.prompt_tokens, 90 + 1 + 5);
    assert_eq!(counts.cached_tokens, 89);
    assert!((counts.prefix_hit_rate() - 89.0 / 185.0).abs() < 1e-12);
    assert_eq!((counts.finished.length, counts.finished.failed), (2, 1));
    assert_eq!(counts.time_to_first_token.count(), 3);
    assert_eq!(counts.time_per_output_token.count(), 20);
    assert_eq!(counts.end_to_end.count(), 3);
    assert_eq!(
        (counts.prefill_time.count(), counts.decode_time.count()),
        (3, 3)
    );
    let parts = counts.queue_time.sum() + counts.prefill_time.sum() + counts.decode_time.sum();
    assert!((parts - counts.end_to_end.sum()).abs() < 1e-6);
    assert_eq!(counts.queue_time.count(), 3);
    assert!(counts.steps >= 23);
    assert!(counts.decode_tokens_per_second() > 0.0);
    // 90 + 10 tokens of the first two, and the last one's prompt.
    assert_eq!((counts.cache_pages, counts.cache_pages_remembered), (3, 3));
    match &counts.energy {
        Energy::NotAvailable(why) => assert!(why.contains("/nowhere"), "{why}"),
        Energy::Joules(joules) => panic!("{joules} J out of nothing"),
    }
    assert_eq!(counts.joules_per_token(), None);
    let page = counts.to_prometheus("gqa");
    assert!(page.contains("dino_prompt_tokens_total{model_name=\"gqa\"} 96\n"));
    assert!(!page.contains("energy"));
}

fn count(root: &Path, microjoules: u64) {
    fs::write(root.join("energy_uj"), microjoules.to_string()).unwrap();
}

#[test]
fn energy_is_shared_out_among_requests_and_idle_time_costs_none() {
    let root = tempfile::tempdir().unwrap();
    let zone = root.path().join("intel-rapl:0");
    fs::create_dir(&zone).unwrap();
    fs::write(zone.join("name"), "package-0\n").unwrap();
    fs::write(zone.join("max_energy_range_uj"), "10000000").unwrap();
    count(&zone, 9_000_000);
    let options = EngineOptions {
        powercap: root.path().to_owned(),
        ..EngineOptions::default()
    };
    let engine = Engine::new(&precise("gqa"), options).unwrap();
    // What is used before there is anything to do is nobody's.
    thread::sleep(Duration::from_millis(20));
    count(&zone, 9_500_000);
    let spend = {
        let zone = zone.clone();
        let mut used = 9_500_000u64;
        move |_: &TokenContext<'_>, _: &mut [f32]| {
            used += 300_000;
            count(&zone, used % 10_000_000);
        }
    };
    let stream = engine.submit(request(&prompt(1, 9), &endless(5)).processor(spend));
    let answer = stream.unwrap().into_completion().unwrap();
    let joules = answer.stats.energy.unwrap();
    assert!(
        (joules - 1.5).abs() < 1e-9,
        "{joules} J, over the end of the counter"
    );
    let counts = idle(&engine);
    let all = counts.energy.joules().unwrap();
    assert!((all - 1.5).abs() < 1e-9, "{all} J");
    assert!((counts.joules_per_token().unwrap() - 0.3).abs() < 1e-9);
    assert!((counts.joules_per_request().unwrap() - 1.5).abs() < 1e-9);
}
