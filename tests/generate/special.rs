//! Special tokens in the text.

use dino_llm::{Generator, SamplingParams};

use crate::common::precise;

#[test]
fn special_tokens_are_shown_where_asked_for() {
    let model = precise("gqa");
    let tokenizer = model.tokenizer();
    let is_shown = |id: &u32| {
        tokenizer.is_special(*id) && model.end_of_generation().binary_search(id).is_err()
    };
    let special = (0..tokenizer.vocab_size() as u32).find(is_shown).unwrap();
    let name = String::from_utf8(tokenizer.token_bytes(special).unwrap().into_owned()).unwrap();
    let text = |skip_special_tokens| {
        let params = SamplingParams {
            logit_bias: [(special, 1e6)].into(),
            skip_special_tokens,
            ..SamplingParams::greedy().with_max_tokens(2)
        };
        Generator::new(&model)
            .generate("the", &params)
            .unwrap()
            .text
    };
    assert_eq!(text(true), "");
    assert_eq!(text(false), name.repeat(2));
}
