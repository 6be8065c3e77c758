//! Who runs when.

use std::sync::{Arc, Mutex};

use dino_llm::{Engine, EngineOptions, Request, TokenContext};

use crate::common::precise;
use crate::requests::{endless, held, prompt, request};

/// Writes down the order in which requests draw their tokens.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<usize>>>);

impl Diary {
    fn note(&self, request: Request, name: usize) -> Request {
        let names = Arc::clone(&self.0);
        request.processor(move |_: &TokenContext<'_>, _: &mut [f32]| {
            names.lock().unwrap().push(name);
        })
    }

    fn first(&self, name: usize) -> usize {
        let names = self.0.lock().unwrap();
        names.iter().position(|&noted| noted == name).unwrap()
    }
}

fn engine(max_sequences: usize, max_batch_tokens: usize) -> Engine {
    let options = EngineOptions {
        max_sequences,
        max_batch_tokens: Some(max_batch_tokens),
        ..EngineOptions::default()
    };
    Engine::new(&precise("gqa"), options).unwrap()
}

#[test]
fn texts_go_on_while_a_long_prompt_runs_and_a_short_one_overtakes_it() {
    let (engine, diary) = (engine(8, 8), Diary::default());
    let (text, hold) = held(request(&prompt(0, 4), &endless(400)));
    let mut text = engine.submit(diary.note(text, 0)).unwrap();
    text.next().unwrap().unwrap();
    let long = engine
        .submit(diary.note(request(&prompt(1, 300), &endless(2)), 1))
        .unwrap();
    let short = engine
        .submit(diary.note(request(&prompt(2, 10), &endless(2)), 2))
        .unwrap();
    drop(hold);
    for stream in [long, short] {
        stream.into_completion().unwrap();
    }
    assert!(diary.first(2) < diary.first(1));
    let names = diary.0.lock().unwrap();
    let before = names.iter().take_while(|&&name| name != 1);
    let texts = before.filter(|&&name| name == 0).count();
    assert!(
        texts > 300 / 8,
        "the text went on every step, but drew {texts}"
    );
}

#[test]
fn higher_priorities_run_first_and_take_the_place_of_lower_ones() {
    let (engine, diary) = (engine(1, 64), Diary::default());
    let (low, hold) = held(request(&prompt(0, 9), &endless(300)).priority(-1));
    let mut low = engine.submit(diary.note(low, 0)).unwrap();
    low.next().unwrap().unwrap();
    let requests = [(1, 0), (2, 5), (3, 5), (4, 0)];
    let streams = requests.map(|(name, priority)| {
        let request = request(&prompt(name, 9), &endless(3)).priority(priority);
        engine.submit(diary.note(request, name)).unwrap()
    });
    drop(hold);
    for stream in streams {
        stream.into_completion().unwrap();
    }
    let expected = crate::requests::alone(engine.model(), &prompt(0, 9), &endless(300));
    assert_eq!(low.into_completion().unwrap().tokens, expected.tokens);
    let names = diary.0.lock().unwrap();
    let others: Vec<usize> = names.iter().copied().filter(|&name| name != 0).collect();
    let (urgent, usual): (Vec<_>, Vec<_>) =
        others.iter().partition(|&&name| name == 2 || name == 3);
    assert_eq!(
        (urgent, usual),
        (vec![&2, &2, &2, &3, &3, &3], vec![&1, &1, &1, &4, &4, &4])
    );
    // The one that ran was put aside, and came back to the end.
    assert_eq!(names.last(), Some(&0));
}
