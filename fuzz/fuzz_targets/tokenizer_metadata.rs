//! A vocabulary as a file might state it, and a text.
#![no_main]

use arbitrary::Arbitrary;
use dino_models::format::{Metadata, StringArray, Value};
use dino_models::tokenizer::{EncodeOptions, PreTokenizer, Tokenizer, VocabularyTokenizer};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    sentence_piece: bool,
    /// Whether there is a token for every byte, so that any text can be encoded.
    complete: bool,
    pre: Option<u8>,
    tokens: Vec<&'a [u8]>,
    scores: Option<Vec<f32>>,
    token_type: Option<Vec<u8>>,
    merges: Option<Vec<&'a [u8]>>,
    numbers: Vec<(Key, u16)>,
    flags: Vec<(Flag, bool)>,
    add_special: bool,
    parse_special: bool,
    text: &'a str,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Key {
    Bos,
    Eos,
    Eot,
    Eom,
    Unknown,
    Padding,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Flag {
    Bos,
    Eos,
    SpacePrefix,
}

fuzz_target!(|input: Input<'_>| {
    let Ok(tokenizer) = VocabularyTokenizer::from_metadata(&metadata(&input)) else {
        return;
    };
    let options = EncodeOptions {
        add_special: input.add_special,
        parse_special: input.parse_special,
    };
    if let Ok(ids) = tokenizer.encode(input.text, options) {
        let known = |&id: &u32| (id as usize) < tokenizer.vocab_size();
        assert!(ids.iter().all(known), "{ids:?}");
        assert!(tokenizer.decode(&ids).is_ok(), "{ids:?}");
    }
});

fn metadata(input: &Input<'_>) -> Metadata {
    let bytes = byte_tokens(input);
    let bytes = bytes.iter().map(String::as_bytes);
    let tokens: StringArray = input.tokens.iter().copied().chain(bytes).collect();
    let count = tokens.len();
    let model = if input.sentence_piece {
        "llama"
    } else {
        "gpt2"
    };
    let mut metadata = Metadata::new("fuzz")
        .with("tokenizer.ggml.model", model)
        .with("tokenizer.ggml.tokens", tokens);
    let mut add = |key: &str, value: Option<Value>| {
        value.map(|value| metadata.insert(format!("tokenizer.ggml.{key}"), value))
    };
    add("pre", input.pre.map(|index| pre_tokenizer(index).into()));
    add(
        "scores",
        input.scores.as_ref().map(|known| padded(known, 0.0, count)),
    );
    add(
        "token_type",
        input
            .token_type
            .as_ref()
            .map(|known| padded(known, 1, count)),
    );
    let merges = input.merges.as_ref();
    add(
        "merges",
        merges.map(|merges| merges.iter().collect::<StringArray>().into()),
    );
    for &(key, number) in &input.numbers {
        let name = match key {
            Key::Bos => "bos_token_id",
            Key::Eos => "eos_token_id",
            Key::Eot => "eot_token_id",
            Key::Eom => "eom_token_id",
            Key::Unknown => "unknown_token_id",
            Key::Padding => "padding_token_id",
        };
        add(name, Some(number.into()));
    }
    for &(flag, on) in &input.flags {
        let name = match flag {
            Flag::Bos => "add_bos_token",
            Flag::Eos => "add_eos_token",
            Flag::SpacePrefix => "add_space_prefix",
        };
        add(name, Some(on.into()));
    }
    metadata
}

/// As many values as there are tokens, so that most inputs get past that check.
fn padded<T: Copy>(known: &[T], rest: T, count: usize) -> Value
where
    Vec<T>: Into<Value>,
{
    let rest = std::iter::repeat(rest);
    known
        .iter()
        .copied()
        .chain(rest)
        .take(count)
        .collect::<Vec<T>>()
        .into()
}

/// One of the names that the tokenizer knows, or none of them.
fn pre_tokenizer(index: u8) -> &'static str {
    PreTokenizer::names()
        .nth(index.into())
        .unwrap_or("unheard-of")
}

/// A token for every byte, if they are wanted.
fn byte_tokens(input: &Input<'_>) -> Vec<String> {
    let bytes = 0..=if input.complete { u8::MAX } else { 0 };
    let sentence_piece = |byte: u8| format!("<0x{byte:02X}>");
    // Visible characters stand for themselves, the others for those from U+0100 on.
    let visible = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let byte_level = |byte: u8| {
        let hidden = (0..byte).filter(|&byte| !visible(byte)).count() as u32;
        let code = if visible(byte) {
            byte.into()
        } else {
            0x100 + hidden
        };
        char::from_u32(code).map(String::from).unwrap_or_default()
    };
    if input.sentence_piece {
        bytes.map(sentence_piece).collect()
    } else {
        bytes.map(byte_level).collect()
    }
}
