//! Texts that another process goes on with.

use dino_llm::dino_models::SavedError;
use dino_llm::{
    ChatSession, ChatTemplate, Error, Generator, KvType, Model, ModelError, SamplingParams,
};

use crate::common::load;

fn params() -> SamplingParams {
    SamplingParams {
        ignore_eos: true,
        ..SamplingParams::greedy().with_max_tokens(30)
    }
}

#[test]
fn a_restored_text_goes_on_as_if_it_had_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let prompt: Vec<u32> = (5..95).collect();
    let mut first = Generator::new(&load("gqa", Model::builder()));
    let text = first.generate(&prompt[..], &params()).unwrap();
    first.save(&path).unwrap();
    let mut longer = prompt.clone();
    longer.extend(text.tokens.iter().map(|token| token.id));
    longer.extend([8, 9]);
    let expected = first.generate(&longer[..], &params()).unwrap();

    let mut second = Generator::new(&load("gqa", Model::builder()));
    second.restore(&path).unwrap();
    let found = second.generate(&longer[..], &params()).unwrap();
    assert_eq!(found.usage.cached_tokens, 90 + 29);
    assert_eq!(found.usage, expected.usage);
    assert_eq!(found.tokens, expected.tokens);
}

#[test]
fn another_model_another_cache_and_damage_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let mut first = Generator::new(&load("gqa", Model::builder()));
    first.generate(&[5, 6, 7][..], &params()).unwrap();
    first.save(&path).unwrap();
    let others = [
        load("bias", Model::builder()),
        load("gqa", Model::builder().kv_cache_type(KvType::F32)),
    ];
    for model in others {
        let error = Generator::new(&model).restore(&path).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Model(ModelError::Saved(SavedError::OtherModel { .. }))
            ),
            "{error}"
        );
    }
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = first.restore(&path).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Model(ModelError::Saved(SavedError::Checksum { .. }))
        ),
        "{error}"
    );
    let again = first.generate(&[5, 6, 7][..], &params()).unwrap();
    assert_eq!(again.usage.cached_tokens, 2);
}

#[test]
fn a_conversation_is_restored_with_what_was_run() {
    const TEMPLATE: &str = "{% for message in messages %}[{{ message.role }}]{{ message.content }}\n{% endfor %}\
        {% if add_generation_prompt %}[assistant]{% endif %}";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conversation");
    let session = || {
        let model = load("gqa", Model::builder());
        ChatSession::with_template(&model, ChatTemplate::new(TEMPLATE).unwrap())
    };
    let mut first = session().system("be");
    let answer = first.send("lo", &params()).unwrap();
    first.save(&path).unwrap();
    let expected = first.send("re", &params()).unwrap();

    let mut second = session();
    second.restore(&path).unwrap();
    assert_eq!(second.history(), &first.history()[..3]);
    let found = second.send("re", &params()).unwrap();
    assert!(found.usage.cached_tokens >= answer.usage.prompt_tokens);
    assert_eq!((found.text, found.usage), (expected.text, expected.usage));

    let bare = folder.path().join("bare");
    Generator::new(second.model()).save(&bare).unwrap();
    let error = second.restore(&bare).unwrap_err();
    assert!(matches!(error, Error::NoConversation { .. }), "{error}");
    assert_eq!(second.history().len(), 5);
}
