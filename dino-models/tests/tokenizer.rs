//! Tokenizers against the libraries that define their formats (`tools/golden_tokenizer.py`, `golden_pretokenizers.py`).

use std::path::{Path, PathBuf};

use dino_models::format::ModelFile;
use dino_models::tokenizer::{
    EncodeOptions, PreTokenizer, SpecialText, TextDecoder, Tokenizer, VocabularyTokenizer,
};
use proptest::prelude::*;
use serde_json::Value;

const PLAIN: EncodeOptions = EncodeOptions {
    add_special: false,
    parse_special: false,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden")
        .join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden(name)).unwrap()).unwrap()
}

fn tokenizer(file: &str) -> VocabularyTokenizer {
    let file = ModelFile::open_vocabulary(golden(file)).unwrap();
    VocabularyTokenizer::from_metadata(&file.metadata).unwrap()
}

fn byte_level() -> VocabularyTokenizer {
    tokenizer("tiny/gqa.gguf")
}

fn sentence_piece() -> VocabularyTokenizer {
    tokenizer("tiny/spm.gguf")
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn check_golden(tokenizer: &dyn Tokenizer, entries: &Value) {
    let entries = entries.as_array().unwrap();
    assert!(entries.len() > 100);
    for entry in entries {
        let text = entry["text"].as_str().unwrap();
        assert_eq!(
            tokenizer.encode(text, PLAIN).unwrap(),
            ids(&entry["plain"]),
            "{text:?}"
        );
        if let Some(expected) = entry.get("special") {
            let options = EncodeOptions {
                parse_special: true,
                ..PLAIN
            };
            assert_eq!(
                tokenizer.encode(text, options).unwrap(),
                ids(expected),
                "{text:?}"
            );
        }
    }
}

#[test]
fn byte_level_ids_are_those_of_tokenizers() {
    check_golden(&byte_level(), &json("tokenizer_tiny.json")["gpt2"]);
}

#[test]
fn sentence_piece_ids_are_those_of_sentencepiece() {
    check_golden(&sentence_piece(), &json("tokenizer_tiny.json")["spm"]);
}

#[test]
fn words_are_those_of_the_families_own_tokenizers() {
    let golden = json("pretokenizers.json");
    let texts = golden["texts"].as_array().unwrap();
    for (name, lengths) in golden["families"].as_object().unwrap() {
        let words = PreTokenizer::new(name).unwrap();
        for (text, expected) in texts.iter().zip(lengths.as_array().unwrap()) {
            let text = text.as_str().unwrap();
            let found: Vec<u32> = words
                .split(text)
                .iter()
                .map(|word| word.len() as u32)
                .collect();
            assert_eq!(found, ids(expected), "{name}: {text:?}");
        }
    }
}

#[test]
fn special_tokens_are_added_and_read_on_request_alone() {
    let tokenizer = byte_level();
    let begin = tokenizer.special().bos.unwrap();
    let end = tokenizer.token_id("<|end|>").unwrap();
    let with = |add_special, parse_special| {
        let options = EncodeOptions {
            add_special,
            parse_special,
        };
        tokenizer.encode("a<|end|>", options).unwrap()
    };
    let [letter] = tokenizer.encode("a", PLAIN).unwrap()[..] else {
        panic!("one letter is one token")
    };
    assert_eq!(with(false, true), [letter, end]);
    assert_eq!(with(true, true), [begin, letter, end]);
    assert!(!with(false, false).contains(&end));
    assert!(tokenizer.is_special(end) && !tokenizer.is_special(letter));
    assert!(tokenizer.is_end_of_generation(end) && !tokenizer.is_end_of_generation(begin));
    assert_eq!(tokenizer.decode(&[letter, end]).unwrap(), "a");
    let shown = TextDecoder::whole().special(SpecialText::Show);
    assert_eq!(
        shown.decode(&tokenizer, &[letter, end]).unwrap(),
        "a<|end|>"
    );
}

#[test]
fn a_sentence_piece_text_begins_with_a_space_that_decoding_takes_back() {
    let tokenizer = sentence_piece();
    assert!(tokenizer.special().add_bos && tokenizer.special().add_space_prefix);
    let options = EncodeOptions {
        add_special: true,
        ..PLAIN
    };
    let tokens = tokenizer.encode("the end", options).unwrap();
    assert_eq!(tokens[0], tokenizer.special().bos.unwrap());
    assert_eq!(tokenizer.decode(&tokens).unwrap(), "the end");
    let continued = TextDecoder::continuation()
        .decode(&tokenizer, &tokens)
        .unwrap();
    assert_eq!(continued, " the end");
    assert_eq!(tokenizer.token_id(" the"), tokenizer.token_id("▁the"));
}

#[test]
fn half_a_character_is_held_back() {
    for tokenizer in [byte_level(), sentence_piece()] {
        let tokens = tokenizer.encode("🌍", PLAIN).unwrap();
        let (last, first) = tokens.split_last().unwrap();
        let mut decoder = TextDecoder::whole();
        for &token in first {
            assert_eq!(decoder.push(&tokenizer, token).unwrap(), "");
        }
        assert_eq!(decoder.clone().finish(), "\u{fffd}");
        assert_eq!(decoder.push(&tokenizer, *last).unwrap(), "🌍");
        assert_eq!(decoder.finish(), "");
    }
}

/// Runs on which a quadratic step would take minutes.
#[test]
fn long_runs_are_encoded_without_delay() {
    const LENGTH: usize = 128 << 10;
    let pieces = |name| tokenizer(&format!("tiny_tokenizers/{name}.gguf"));
    let tokenizers = [
        (byte_level(), true),
        (sentence_piece(), true),
        (pieces("word_piece"), false),
        (pieces("unigram"), false),
        (pieces("unigram_bytes"), false),
    ];
    for (tokenizer, keeps_all) in tokenizers {
        for run in [
            "a", " ", "\n", "🌍", "the", "!", "7", "\u{301}", "e\u{301}", "<|end", " \n", "'s",
        ] {
            let text = run.repeat(LENGTH / run.len());
            let options = EncodeOptions {
                parse_special: true,
                ..PLAIN
            };
            let tokens = tokenizer.encode(&text, options).unwrap();
            let decoded = tokenizer.decode(&tokens).unwrap();
            assert!(decoded == text || !keeps_all, "{run:?}");
        }
    }
}

#[test]
fn ids_outside_the_vocabulary_are_errors() {
    let tokenizer = byte_level();
    let outside = tokenizer.vocab_size() as u32;
    for token in [outside, u32::MAX] {
        assert!(tokenizer.token_bytes(token).is_err());
        assert!(tokenizer.decode(&[token]).is_err());
        assert!(!tokenizer.is_special(token) && !tokenizer.is_end_of_generation(token));
    }
}

proptest! {
    #[test]
    fn byte_level_decoding_inverts_encoding(text in any::<String>()) {
        let tokenizer = byte_level();
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text, PLAIN).unwrap()).unwrap(), text);
    }

    #[test]
    fn sentence_piece_decoding_inverts_encoding(text in "[^▁]*") {
        let tokenizer = sentence_piece();
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text, PLAIN).unwrap()).unwrap(), text);
    }

    #[test]
    fn pieces_add_up_to_the_lossy_text_of_all_bytes(tokens in prop::collection::vec(0_u32..256, 0..40)) {
        let tokenizer = byte_level();
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| tokenizer.token_bytes(token).unwrap().into_owned()).collect();
        let mut decoder = TextDecoder::continuation();
        let mut text = String::new();
        for &token in &tokens {
            text.push_str(decoder.push(&tokenizer, token).unwrap());
        }
        text.push_str(decoder.finish());
        prop_assert_eq!(&text, &String::from_utf8_lossy(&bytes));
        prop_assert_eq!(text, tokenizer.decode(&tokens).unwrap());
    }
}

#[test]
fn word_piece_ids_are_those_of_tokenizers() {
    for name in ["word_piece", "word_piece_cased"] {
        let tokenizer = tokenizer(&format!("tiny_tokenizers/{name}.gguf"));
        check_golden(&tokenizer, &json("tokenizer_pieces.json")[name]);
    }
}

#[test]
fn unigram_ids_are_those_of_sentencepiece() {
    for name in ["unigram", "unigram_bytes"] {
        let tokenizer = tokenizer(&format!("tiny_tokenizers/{name}.gguf"));
        check_golden(&tokenizer, &json("tokenizer_pieces.json")[name]);
    }
}

#[test]
fn encoders_frame_their_texts() {
    let framed = EncodeOptions {
        add_special: true,
        ..PLAIN
    };
    let words = tokenizer("tiny_tokenizers/word_piece.gguf");
    let tokens = words.encode("the wind", framed).unwrap();
    assert_eq!(words.token_bytes(tokens[0]).unwrap(), &b"[CLS]"[..]);
    assert_eq!(
        words.token_bytes(*tokens.last().unwrap()).unwrap(),
        &b"[SEP]"[..]
    );
    assert_eq!(words.decode(&tokens).unwrap(), "the wind");
    let unigram = tokenizer("tiny_tokenizers/unigram.gguf");
    let tokens = unigram.encode("the  wind ", framed).unwrap();
    assert_eq!(tokens.last(), unigram.special().eos.as_ref());
    assert_eq!(unigram.decode(&tokens).unwrap(), "the wind");
}
