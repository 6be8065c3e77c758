//! Conversations on an engine.

use std::sync::Barrier;
use std::thread;

use dino_llm::{ChatSession, ChatTemplate, Engine, EngineOptions, Message, Model, SamplingParams};

use crate::common::load;

const TEMPLATE: &str = "{% for message in messages %}[{{ message.role }}]{{ message.content }}\n{% endfor %}\
    {% if add_generation_prompt %}[assistant]{% endif %}";
/// Longer than a page.
const INSTRUCTIONS: &str = "You are told to answer in a few words, to be kind to everybody, and to say so when you do not \
    know. You never speak of the weather.";

fn template() -> ChatTemplate {
    ChatTemplate::new(TEMPLATE).unwrap()
}

fn params() -> SamplingParams {
    SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(8)
    }
}

/// Two turns; the texts, and how many tokens of each prompt were known.
fn talk(mut session: ChatSession, about: &str) -> (Vec<String>, [usize; 2]) {
    let mut known = [0; 2];
    for known in &mut known {
        let answer = session.send(about, &params()).unwrap();
        *known = answer.usage.cached_tokens;
    }
    let texts = session.history().iter().map(Message::text);
    (texts.collect(), known)
}

#[test]
fn sessions_share_what_they_begin_with_and_say_what_they_say_alone() {
    let model = load("gqa", Model::builder());
    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    let session = || ChatSession::with_engine(&engine, template()).system(INSTRUCTIONS);
    let (_, known) = talk(session(), "the river");
    assert_eq!(known[0], 0);
    assert!(known[1] > 100, "the second turn knows the first: {known:?}");

    let subjects = ["the sea", "a hill", "my cat", "the moon"];
    let start = Barrier::new(subjects.len());
    let together = thread::scope(|scope| {
        let talks = subjects.map(|about| {
            let (session, start) = (session(), &start);
            scope.spawn(move || {
                start.wait();
                talk(session, about)
            })
        });
        talks.map(|talk| talk.join().unwrap())
    });
    for (about, (texts, known)) in subjects.into_iter().zip(together) {
        let own = ChatSession::with_template(&model, template()).system(INSTRUCTIONS);
        assert_eq!(texts, talk(own, about).0);
        assert!(known[0] > 100, "the instructions are known: {known:?}");
        assert!(known[1] > known[0]);
    }
}

#[test]
fn a_dropped_answer_is_cancelled_and_stays_as_far_as_it_was_given() {
    let model = load("gqa", Model::builder());
    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    let mut session = ChatSession::with_engine(&engine, template());
    let long = SamplingParams {
        max_tokens: Some(80),
        ..params()
    };
    let mut answer = session.stream("the river", &long).unwrap();
    answer.next().unwrap().unwrap();
    answer.next().unwrap().unwrap();
    let text = answer.text().to_owned();
    drop(answer);
    assert_eq!(session.history()[1].text(), text);
    assert_eq!(session.history().len(), 2);

    // The engine is gone: the conversation is as before.
    engine.shutdown();
    assert!(session.send("and the sea", &params()).is_err());
    assert_eq!(session.history().len(), 2);
}

#[test]
fn messages_are_saved_and_go_on_anywhere() {
    let model = load("gqa", Model::builder());
    let engine = Engine::new(&model, EngineOptions::default()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut session = ChatSession::with_engine(&engine, template()).system("be");
    session.send("lo", &params()).unwrap();
    session.save(file.path()).unwrap();
    let expected = session.send("re", &params()).unwrap().text;

    let mut own = ChatSession::with_template(&model, template());
    own.restore(file.path()).unwrap();
    assert_eq!(own.send("re", &params()).unwrap().text, expected);
    let mut shared = ChatSession::with_engine(&engine, template());
    shared.restore(file.path()).unwrap();
    assert_eq!(shared.send("re", &params()).unwrap().text, expected);
}
