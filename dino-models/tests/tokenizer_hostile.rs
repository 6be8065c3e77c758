//! Vocabularies that no converter would write: each gives an error that names the place.

use dino_models::format::{Metadata, StringArray};
use dino_models::tokenizer::{
    EncodeOptions, Tokenizer, TokenizerError, VocabularyData, VocabularyTokenizer,
};

fn byte_level() -> VocabularyData<'static> {
    VocabularyData {
        model: "gpt2",
        pre: Some("gpt-2"),
        tokens: vec!["a", "b", "ab", "<|end|>"],
        token_type: Some(vec![1, 1, 1, 3]),
        merges: Some(vec!["a b"]),
        ..VocabularyData::default()
    }
}

fn sentence_piece() -> VocabularyData<'static> {
    VocabularyData {
        model: "llama",
        tokens: vec!["<unk>", "<s>", "</s>", "<0x41>", "▁a"],
        token_type: Some(vec![2, 3, 3, 6, 1]),
        scores: Some(vec![0.0; 5]),
        ..VocabularyData::default()
    }
}

fn word_piece() -> VocabularyData<'static> {
    VocabularyData {
        model: "bert",
        tokens: vec!["[UNK]", "[CLS]", "[SEP]", "▁a", "b"],
        token_type: Some(vec![3, 3, 3, 1, 1]),
        ..VocabularyData::default()
    }
}

fn unigram() -> VocabularyData<'static> {
    VocabularyData {
        model: "t5",
        tokens: vec!["<pad>", "</s>", "<unk>", "▁", "a", "▁a"],
        token_type: Some(vec![3, 3, 2, 1, 1, 1]),
        scores: Some(vec![0.0, 0.0, 0.0, -2.0, -3.0, -4.0]),
        ..VocabularyData::default()
    }
}

fn error(data: &VocabularyData<'_>) -> TokenizerError {
    VocabularyTokenizer::new(data).expect_err("the vocabulary is broken")
}

/// Breaks a vocabulary in one place and checks the error.
macro_rules! refuses {
    ($data:expr, $($field:ident = $value:expr),+ => $pattern:pat) => {{
        let mut data = $data;
        $(data.$field = $value;)+
        let error = error(&data);
        assert!(matches!(error, $pattern), "{error:?}");
    }};
}

#[test]
fn the_unbroken_ones_work() {
    let tokenizer = VocabularyTokenizer::new(&byte_level()).unwrap();
    assert_eq!(
        tokenizer.encode("abba", EncodeOptions::default()).unwrap(),
        [2, 1, 0]
    );
    let tokenizer = VocabularyTokenizer::new(&sentence_piece()).unwrap();
    assert_eq!(
        tokenizer.encode("aA", EncodeOptions::default()).unwrap(),
        [4, 3]
    );
    let tokenizer = VocabularyTokenizer::new(&word_piece()).unwrap();
    assert_eq!(
        tokenizer.encode("ab ba", EncodeOptions::default()).unwrap(),
        [3, 4, 0]
    );
    let tokenizer = VocabularyTokenizer::new(&unigram()).unwrap();
    assert_eq!(
        tokenizer.encode("aaxx", EncodeOptions::default()).unwrap(),
        [5, 4, 2]
    );
}

#[test]
fn unknown_names() {
    refuses!(byte_level(), model = "rwkv" => TokenizerError::UnknownModel { .. });
    refuses!(byte_level(), pre = Some("nobody") => TokenizerError::UnknownPreTokenizer { .. });
}

#[test]
fn missing_and_mismatched_arrays() {
    refuses!(byte_level(), tokens = vec![], token_type = None => TokenizerError::MissingKey { .. });
    refuses!(byte_level(), merges = None => TokenizerError::MissingKey { .. });
    refuses!(sentence_piece(), scores = None => TokenizerError::MissingKey { .. });
    refuses!(unigram(), scores = None => TokenizerError::MissingKey { .. });
    refuses!(unigram(), scores = Some(vec![0.0]) => TokenizerError::LengthMismatch { found: 1, .. });
    refuses!(unigram(), token_type = None => TokenizerError::MissingKey { .. });
    refuses!(word_piece(), token_type = None => TokenizerError::MissingKey { .. });
    refuses!(byte_level(), token_type = Some(vec![1]) => TokenizerError::LengthMismatch { found: 1, .. });
    refuses!(sentence_piece(), scores = Some(vec![0.0; 6]) => TokenizerError::LengthMismatch { found: 6, .. });
}

#[test]
fn bad_entries() {
    refuses!(byte_level(), token_type = Some(vec![1, 1, 7, 3]) => TokenizerError::InvalidTokenType { token: 2, found: 7 });
    refuses!(byte_level(), tokens = vec!["a", "b", "ab", "a"] => TokenizerError::DuplicateToken { first: 0, second: 3, .. });
    refuses!(sentence_piece(), scores = Some(vec![0.0, 0.0, 0.0, 0.0, f32::NAN]) => TokenizerError::InvalidScore { token: 4 });
    for text in ["<0x4>", "<0xGG>", "<0x041>", "<0x+1>", "A"] {
        refuses!(sentence_piece(), tokens = vec!["<unk>", "<s>", "</s>", text, "▁a"] => TokenizerError::InvalidByteToken { token: 3, .. });
    }
}

#[test]
fn bad_normalisations() {
    let unit = |word: u32| word.to_le_bytes();
    // A trie that leads to a place outside of it, or round in circles, or to a text that is not there, finds nothing.
    let wild = [
        [unit(8), unit(u32::MAX), unit(u32::MAX), *b"xyz\0"].concat(),
        [unit(4), unit(0), *b"xyz\0"].concat(),
        [unit(8), unit(0x100), unit(0x161), *b"xyz\0"].concat(),
    ];
    for charsmap in wild {
        let data = VocabularyData {
            precompiled_charsmap: Some(charsmap),
            ..unigram()
        };
        let tokenizer = VocabularyTokenizer::new(&data).unwrap();
        let text = "a".repeat(1 << 16);
        assert!(tokenizer.encode(&text, EncodeOptions::default()).is_ok());
    }
    let broken: [&[u8]; 5] = [b"x", &unit(1 << 30), &[0; 4], &[2, 0, 0, 0, 1, 1], &{
        [unit(4), unit(0), [0xff, 0xff, 0, 0]].concat()
    }];
    for charsmap in broken {
        refuses!(unigram(), precompiled_charsmap = Some(charsmap.to_vec()) => TokenizerError::InvalidCharsmap { .. });
    }
    refuses!(unigram(), scores = Some(vec![0.0, 0.0, 0.0, 0.0, 0.0, f32::NEG_INFINITY]) => TokenizerError::InvalidScore { token: 5 });
}

#[test]
fn bad_merges() {
    for merge in ["", " ", "ab", "a ", " b"] {
        refuses!(byte_level(), merges = Some(vec!["a b", merge]) => TokenizerError::MalformedMerge { index: 1, .. });
    }
    for merge in ["a c", "b a", "a b c"] {
        refuses!(byte_level(), merges = Some(vec![merge]) => TokenizerError::MergeNotInVocabulary { index: 0, .. });
    }
}

#[test]
fn roles_outside_the_vocabulary() {
    refuses!(byte_level(), bos_token_id = Some(4) => TokenizerError::SpecialOutOfRange { found: 4, vocab_size: 4, .. });
    refuses!(byte_level(), eos_token_id = Some(u32::MAX) => TokenizerError::SpecialOutOfRange { .. });
    refuses!(byte_level(), add_bos_token = Some(true) => TokenizerError::MissingSpecial { .. });
    refuses!(byte_level(), add_eos_token = Some(true) => TokenizerError::MissingSpecial { .. });
}

#[test]
fn sizes_beyond_any_vocabulary() {
    let many = (1 << 21) + 1;
    refuses!(byte_level(), tokens = vec![""; many], token_type = None => TokenizerError::TooLarge { .. });
    refuses!(byte_level(), merges = Some(vec!["a b"; many]) => TokenizerError::TooLarge { .. });
    let long = "x".repeat((1 << 20) + 1);
    refuses!(byte_level(), tokens = vec!["a", "b", "ab", &long] => TokenizerError::TooLarge { .. });
}

#[test]
fn metadata_of_the_wrong_shape() {
    let whole = || {
        Metadata::new("m.gguf")
            .with("tokenizer.ggml.model", "gpt2")
            .with("tokenizer.ggml.tokens", ["a", "b", "ab"])
            .with("tokenizer.ggml.merges", ["a b"])
    };
    assert!(VocabularyTokenizer::from_metadata(&whole()).is_ok());
    let broken = [
        Metadata::new("m.gguf"),
        whole().with("tokenizer.ggml.tokens", [1_u32, 2]),
        whole().with("tokenizer.ggml.tokens", "a"),
        whole().with(
            "tokenizer.ggml.tokens",
            StringArray::from_iter([&[0xff_u8][..]]),
        ),
        whole().with("tokenizer.ggml.model", 1_u32),
        whole().with("tokenizer.ggml.pre", true),
        whole().with("tokenizer.ggml.scores", ["a", "b", "c"]),
        whole().with("tokenizer.ggml.token_type", [1_i32, 1]),
        whole().with("tokenizer.ggml.token_type", [0.5_f32, 1.0, 1.0]),
        whole().with("tokenizer.ggml.bos_token_id", -1_i32),
        whole().with("tokenizer.ggml.add_bos_token", 1_u32),
    ];
    for metadata in &broken {
        let error =
            VocabularyTokenizer::from_metadata(metadata).expect_err("the metadata is broken");
        assert!(error.to_string().contains("tokenizer.ggml."), "{error}");
    }
}
