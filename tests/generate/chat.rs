//! Conversations.

use dino_llm::{ChatSession, ChatTemplate, Error, Message, Role, SamplingParams, TemplateError};

use crate::common::precise;

const TEMPLATE: &str = "{% for message in messages %}{% if message.content == 'refused' %}\
    {{ raise_exception('no') }}{% endif %}[{{ message.role }}]{{ message.content }}\n{% endfor %}\
    {% if add_generation_prompt %}[assistant]{% endif %}";

fn session() -> ChatSession {
    ChatSession::with_template(&precise("gqa"), ChatTemplate::new(TEMPLATE).unwrap())
}

fn params() -> SamplingParams {
    SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(6)
    }
}

fn roles(session: &ChatSession) -> Vec<&str> {
    session
        .history()
        .iter()
        .map(|message| message.role.as_str())
        .collect()
}

#[test]
fn turns_are_kept_rendered_and_remembered() {
    let mut session = session().system("be");
    let first = session.send("lo", &params()).unwrap();
    assert_eq!(first.usage.cached_tokens, 0);
    assert_eq!(roles(&session), ["system", "user", "assistant"]);
    assert_eq!(session.history()[2].text(), first.text);
    let expected = format!(
        "[system]be\n[user]lo\n[assistant]{}\n[assistant]",
        first.text
    );
    assert_eq!(session.prompt().unwrap(), expected);

    let second = session
        .send(Message::new(Role::Tool, "re"), &params())
        .unwrap();
    assert_eq!(
        roles(&session),
        ["system", "user", "assistant", "tool", "assistant"]
    );
    // At least the whole first prompt has been run.
    assert!(
        second.usage.cached_tokens >= first.usage.prompt_tokens,
        "{:?}",
        second.usage
    );

    session.reset();
    assert_eq!(roles(&session), ["system"]);
    assert_eq!(session.send("lo", &params()).unwrap().text, first.text);
}

#[test]
fn a_stream_that_is_dropped_leaves_what_it_said() {
    let mut session = session();
    let mut stream = session.stream("lo", &params()).unwrap();
    let said: String = stream
        .by_ref()
        .take(3)
        .map(|token| token.unwrap().text)
        .collect();
    drop(stream);
    assert_eq!(roles(&session), ["user", "assistant"]);
    assert_eq!(session.history()[1].text(), said);
}

#[test]
fn a_turn_that_fails_is_forgotten() {
    let mut session = session();
    session.send("lo", &params()).unwrap();
    let before = session.history().to_vec();

    let error = session.send("refused", &params()).unwrap_err();
    assert!(
        matches!(error, Error::Template(TemplateError::Raised { .. })),
        "{error}"
    );
    assert_eq!(session.history(), before);

    let outside = SamplingParams {
        logit_bias: [(999, 1.0)].into(),
        ..params()
    };
    session.send("lo", &outside).unwrap_err();
    assert_eq!(session.history(), before);

    drop(session.stream("lo", &params()).unwrap());
    assert_eq!(session.history(), before, "nothing was said");
}

#[test]
fn a_file_without_a_template_says_so() {
    let error = ChatSession::new(&precise("gqa")).unwrap_err();
    assert!(matches!(error, Error::NoChatTemplate { .. }), "{error}");
    assert!(error.to_string().contains("gqa.gguf"), "{error}");
}
