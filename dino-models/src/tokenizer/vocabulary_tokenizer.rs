//! The tokenizer that a model file's vocabulary gives.

use std::borrow::Cow;
use std::ops::Range;

use super::byte_level::{self, ByteLevel};
use super::partition::{Control, Fragment, Partition};
use super::sentence_piece::{self, SPACE, SentencePiece};
use super::special::Defaults;
use super::unigram::Unigram;
use super::vocabulary::Vocabulary;
use super::word_piece::{self, WordPiece};
use super::{
    EncodeOptions, PreTokenizer, SpecialTokens, TokenKind, Tokenizer, TokenizerError,
    VocabularyData,
};
use crate::format::Metadata;

/// The kinds of vocabulary that are supported.
const MODELS: &[&str] = &["gpt2", "llama", "bert", "t5"];

/// The longest text that is encoded at once: offsets are 32 bits wide, and escaping may triple a text.
const LONGEST_TEXT: usize = (u32::MAX / 4) as usize;

/// A tokenizer made from the vocabulary in a model file.
#[derive(Debug)]
pub struct VocabularyTokenizer {
    vocabulary: Vocabulary,
    special: SpecialTokens,
    end_of_generation: Vec<u32>,
    partition: Partition,
    model: Model,
}

#[derive(Debug)]
enum Model {
    ByteLevel(Box<ByteLevel>),
    SentencePiece(SentencePiece),
    WordPiece(WordPiece),
    Unigram(Box<Unigram>),
}

impl VocabularyTokenizer {
    /// Checks `data` and builds the tokenizer; `data` is not needed afterwards.
    ///
    /// # Errors
    /// The kind of vocabulary or its pre-tokenizer is unknown, or the arrays do not fit together.
    pub fn new(data: &VocabularyData<'_>) -> Result<Self, TokenizerError> {
        match data.model {
            "gpt2" => Self::byte_level(data),
            "llama" => Self::sentence_piece(data),
            "bert" => Self::word_piece(data),
            "t5" => Self::unigram(data),
            other => Err(TokenizerError::UnknownModel {
                found: other.to_owned(),
                known: MODELS,
            }),
        }
    }

    /// Builds the tokenizer of the model file with `metadata`.
    ///
    /// # Errors
    /// As [`VocabularyData::from_metadata`] and [`VocabularyTokenizer::new`].
    pub fn from_metadata(metadata: &Metadata) -> Result<Self, TokenizerError> {
        Self::new(&VocabularyData::from_metadata(metadata)?)
    }

    fn byte_level(data: &VocabularyData<'_>) -> Result<Self, TokenizerError> {
        let words = PreTokenizer::new(data.pre.unwrap_or("default"))?;
        let vocabulary = Vocabulary::new(data)?;
        let defaults = Defaults {
            add_bos: words.add_bos(),
            ..Defaults::default()
        };
        let special = SpecialTokens::new(data, defaults, &vocabulary)?;
        let model = ByteLevel::new(data, &vocabulary, words)?;
        Self::assemble(vocabulary, special, Model::ByteLevel(Box::new(model)))
    }

    fn sentence_piece(data: &VocabularyData<'_>) -> Result<Self, TokenizerError> {
        let vocabulary = Vocabulary::new(data)?;
        let defaults = Defaults {
            bos: Some(1),
            eos: Some(2),
            unk: Some(0),
            add_bos: true,
            add_eos: false,
            add_space_prefix: true,
        };
        let special = SpecialTokens::new(data, defaults, &vocabulary)?;
        let model = SentencePiece::new(data, &vocabulary, special.unk)?;
        Self::assemble(vocabulary, special, Model::SentencePiece(model))
    }

    fn word_piece(data: &VocabularyData<'_>) -> Result<Self, TokenizerError> {
        let vocabulary = Vocabulary::new(data)?;
        let defaults = Defaults {
            bos: vocabulary.find("[CLS]"),
            eos: vocabulary.find("[SEP]"),
            unk: vocabulary.find("[UNK]"),
            add_bos: true,
            add_eos: true,
            add_space_prefix: true,
        };
        let special = SpecialTokens::new(data, defaults, &vocabulary)?;
        let model = WordPiece::new(data, &vocabulary, special.unk)?;
        Self::assemble(vocabulary, special, Model::WordPiece(model))
    }

    fn unigram(data: &VocabularyData<'_>) -> Result<Self, TokenizerError> {
        let vocabulary = Vocabulary::new(data)?;
        let defaults = Defaults {
            bos: None,
            eos: Some(1),
            unk: Some(2),
            add_bos: false,
            add_eos: true,
            add_space_prefix: true,
        };
        let special = SpecialTokens::new(data, defaults, &vocabulary)?;
        let model = Unigram::new(data, &vocabulary, special.unk)?;
        Self::assemble(vocabulary, special, Model::Unigram(Box::new(model)))
    }

    fn assemble(
        vocabulary: Vocabulary,
        special: SpecialTokens,
        model: Model,
    ) -> Result<Self, TokenizerError> {
        let spelling: fn(&str) -> &str = match model {
            Model::WordPiece(_) => word_piece::without_mark,
            _ => as_written,
        };
        let end_of_generation = special.end_of_generation(&vocabulary);
        Ok(VocabularyTokenizer {
            partition: Partition::new(&vocabulary, &end_of_generation, spelling)?,
            end_of_generation,
            vocabulary,
            special,
            model,
        })
    }

    fn encode_text(
        &self,
        text: &str,
        after_special: bool,
        tokens: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        match &self.model {
            Model::ByteLevel(model) => {
                model.encode(&self.vocabulary, text, tokens);
                Ok(())
            }
            Model::SentencePiece(model) => {
                let with_space = after_special && self.special.add_space_prefix;
                model.encode(&self.vocabulary, text, with_space, tokens)
            }
            Model::WordPiece(model) => {
                model.encode(&self.vocabulary, text, tokens);
                Ok(())
            }
            Model::Unigram(model) => {
                model.encode(text, tokens);
                Ok(())
            }
        }
    }
}

impl Tokenizer for VocabularyTokenizer {
    fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>, TokenizerError> {
        self.encode_with_content(text, &[], options)
    }

    fn encode_with_content(
        &self,
        text: &str,
        content: &[Range<usize>],
        options: EncodeOptions,
    ) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > LONGEST_TEXT {
            return Err(TokenizerError::TextTooLong {
                found: text.len(),
                limit: LONGEST_TEXT,
            });
        }
        let mut tokens = Vec::with_capacity(text.len() / 3);
        tokens.extend(
            self.special
                .bos
                .filter(|_| options.add_special && self.special.add_bos),
        );
        let mut after_special = true;
        let control = Control {
            parsed: options.parse_special,
            content,
        };
        for fragment in self.partition.split(text, control) {
            after_special = match fragment {
                Fragment::Text(text) => {
                    self.encode_text(text, after_special, &mut tokens)?;
                    false
                }
                Fragment::Token(token) => {
                    tokens.push(token);
                    true
                }
            };
        }
        tokens.extend(
            self.special
                .eos
                .filter(|_| options.add_special && self.special.add_eos),
        );
        Ok(tokens)
    }

    fn token_bytes(&self, token: u32) -> Result<Cow<'_, [u8]>, TokenizerError> {
        let found = self.vocabulary.text(token).zip(self.vocabulary.kind(token));
        let (text, kind) = found.ok_or(TokenizerError::TokenOutOfRange {
            token,
            vocab_size: self.vocab_size(),
        })?;
        Ok(match &self.model {
            Model::ByteLevel(_) => byte_level::bytes(text, kind),
            Model::SentencePiece(_) | Model::Unigram(_) => sentence_piece::bytes(text, kind),
            Model::WordPiece(_) => word_piece::bytes(text, kind),
        })
    }

    fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    fn special(&self) -> &SpecialTokens {
        &self.special
    }

    fn is_special(&self, token: u32) -> bool {
        self.vocabulary
            .kind(token)
            .is_some_and(TokenKind::is_special)
    }

    fn is_end_of_generation(&self, token: u32) -> bool {
        self.end_of_generation.binary_search(&token).is_ok()
    }

    fn token_id(&self, text: &str) -> Option<u32> {
        let spelled = || match &self.model {
            Model::ByteLevel(_) => byte_level::spell(text),
            _ => text.replace(' ', SPACE.encode_utf8(&mut [0; 4])),
        };
        self.vocabulary
            .find(text)
            .or_else(|| self.vocabulary.find(&spelled()))
    }
}

fn as_written(text: &str) -> &str {
    text
}
