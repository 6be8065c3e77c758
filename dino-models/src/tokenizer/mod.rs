//! Text to token ids and back, for the vocabularies that model files carry.
//!
//! A file brings a vocabulary, not a program: token texts with a kind each, merges or scores, and the name of a
//! pre-tokenizer. From these [`VocabularyTokenizer`] is built, in these rooms:
//!
//! 1. `partition` cuts the text at special and added tokens, so that only plain text is left between them;
//! 2. `pretokenizer` cuts plain text into words (byte-level vocabularies alone), as [`PreTokenizer::names`] lists;
//! 3. `byte_level` or `sentence_piece` merges the letters of a word into tokens; `word_piece` and `unigram` cut it instead;
//! 4. `pipeline` does what a `tokenizer.json` asks for beyond that, and `bpe` merges letters of any kind;
//! 5. [`TextDecoder`] goes the other way, a token at a time, and never yields half a character.
//!
//! Everything is linear in the text (times a logarithm), whatever the text and the vocabulary are.

mod bpe;
mod byte_level;
mod characters;
mod charsmap;
mod contract;
mod decoder;
mod error;
mod folder;
mod from_metadata;
mod kind;
mod merge;
mod normal_form;
mod partition;
mod pipeline;
mod pretokenizer;
mod recipes;
mod sentence_piece;
mod special;
mod unigram;
mod vocabulary;
mod vocabulary_tokenizer;
mod word_piece;

pub use contract::{EncodeOptions, Tokenizer};
pub use decoder::{SpecialText, TextDecoder};
pub use error::TokenizerError;
pub use folder::read as read_folder;
pub use kind::TokenKind;
pub use pretokenizer::PreTokenizer;
pub use special::SpecialTokens;
pub use vocabulary::VocabularyData;
pub use vocabulary_tokenizer::VocabularyTokenizer;
pub use word_piece::WordPieceOptions;
