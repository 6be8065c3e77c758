//! An engine with nothing to do costs nothing. Alone in its process, whose processor time it looks at.
#![cfg(target_os = "linux")]

use std::thread;
use std::time::Duration;

use dino_llm::{Engine, EngineOptions, Model, Request, SamplingParams};

/// Ticks of a hundredth of a second that the threads of this process have run.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name in parentheses may hold spaces. Times are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let times = fields.split_whitespace().skip(11).take(2);
    times.map(|time| time.parse::<u64>().unwrap()).sum()
}

#[test]
fn an_idle_engine_takes_no_processor_time() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny/gqa.gguf");
    let model = Model::builder().threads(4).load(file).unwrap();
    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    let params = SamplingParams::greedy().with_max_tokens(20);
    let stream = engine.submit(Request::new("the", &params)).unwrap();
    stream.into_completion().unwrap();
    // The pool's workers spin for a moment before they sleep.
    thread::sleep(Duration::from_millis(50));
    let before = ticks();
    thread::sleep(Duration::from_millis(1500));
    let spent = ticks() - before;
    assert!(
        spent <= 1,
        "{spent} hundredths of a second in one and a half"
    );
}
