//! The tokenizer that a model file's vocabulary gives.

mod build;

use std::borrow::Cow;
use std::ops::Range;

use super::bpe::Bpe;
use super::byte_level::{self, ByteLevel};
use super::merge::Merger;
use super::normal_form::Place;
use super::partition::{Control, Fragment, Partition};
use super::pipeline::{Letters, Pipeline};
use super::sentence_piece::{self, SPACE, SentencePiece};
use super::unigram::Unigram;
use super::vocabulary::Vocabulary;
use super::word_piece::{self, WordPiece};
use super::{EncodeOptions, SpecialTokens, TokenKind, Tokenizer, TokenizerError};

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
    /// What the texts of tokens mean.
    letters: Letters,
    pipeline: Option<Box<Piped>>,
    /// As [`VocabularyData::prefix_first`].
    prefix_first: bool,
}

/// What a `tokenizer.json` does to a text before the model gets it.
#[derive(Debug)]
struct Piped {
    pipeline: Pipeline,
    /// Added tokens that are looked for in the normal form of a text.
    normalized: Option<Partition>,
}

#[derive(Debug)]
enum Model {
    ByteLevel(Box<ByteLevel>),
    Bpe(Box<Bpe>),
    SentencePiece(SentencePiece),
    WordPiece(WordPiece),
    Unigram(Box<Unigram>),
}

impl VocabularyTokenizer {
    fn encode_text(
        &self,
        text: &str,
        place: Place,
        tokens: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        match &self.model {
            Model::ByteLevel(model) => {
                model.encode(&self.vocabulary, text, tokens);
                Ok(())
            }
            Model::SentencePiece(model) => model.encode(&self.vocabulary, text, place, tokens),
            Model::WordPiece(model) => {
                model.encode(&self.vocabulary, text, tokens);
                Ok(())
            }
            Model::Unigram(model) => {
                model.encode(text, place, tokens);
                Ok(())
            }
            Model::Bpe(_) => self.encode_word(text, &mut Merger::default(), tokens),
        }
    }

    /// Encodes a word as it is, whatever the model does to texts on its own.
    fn encode_word(
        &self,
        word: &str,
        merger: &mut Merger,
        tokens: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        match &self.model {
            Model::Bpe(model) => model.encode(&self.vocabulary, word, merger, tokens),
            Model::Unigram(model) => model.cut(word, tokens),
            Model::WordPiece(model) => model.encode_word(&self.vocabulary, word, tokens),
            Model::ByteLevel(_) | Model::SentencePiece(_) => {
                let place = Place {
                    at_start: false,
                    at_end: false,
                };
                return self.encode_text(word, place, tokens);
            }
        }
        Ok(())
    }

    fn encode_piped(
        &self,
        piped: &Piped,
        text: &str,
        control: Control<'_>,
        tokens: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let mut merger = Merger::default();
        // Where the bytes of somebody's content went is not known any more in normal form.
        let in_normal_form = Control {
            parsed: control.parsed && control.content.is_empty(),
            content: &[],
        };
        for (index, fragment) in self.partition.split(text, control).into_iter().enumerate() {
            let part = match fragment {
                Fragment::Token(token) => {
                    tokens.push(token);
                    continue;
                }
                Fragment::Text(part) => part,
            };
            let (normal, keeps_start) = piped.pipeline.normalize(part)?;
            let fragments = match &piped.normalized {
                Some(partition) => partition.split(&normal, in_normal_form),
                None => vec![Fragment::Text(&normal)],
            };
            for (inner, fragment) in fragments.into_iter().enumerate() {
                match fragment {
                    Fragment::Token(token) => tokens.push(token),
                    Fragment::Text(part) => {
                        let at_start = index == 0 && inner == 0 && keeps_start;
                        for word in piped.pipeline.words(part, at_start) {
                            self.encode_word(&word, &mut merger, tokens)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn encode_fragments(
        &self,
        text: &str,
        control: Control<'_>,
        tokens: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let fragments = self.partition.split(text, control);
        let last = fragments.len().saturating_sub(1);
        if let (true, Some(Fragment::Token(token))) = (self.prefix_first, fragments.first()) {
            self.encode_bare_prefix(*token, tokens)?;
        }
        let mut after_special = true;
        for (index, fragment) in fragments.into_iter().enumerate() {
            after_special = match fragment {
                Fragment::Text(text) => {
                    self.encode_text(text, self.place(index, last, after_special), tokens)?;
                    false
                }
                Fragment::Token(token) => {
                    tokens.push(token);
                    true
                }
            };
        }
        Ok(())
    }

    /// How the part `index` of a text is treated.
    fn place(&self, index: usize, last: usize, after_special: bool) -> Place {
        match (self.prefix_first, &self.model) {
            (true, _) => Place {
                at_start: index == 0,
                at_end: index == last,
            },
            (false, Model::SentencePiece(_)) => Place {
                at_start: after_special && self.special.add_space_prefix,
                at_end: false,
            },
            (false, _) => Place::WHOLE,
        }
    }

    /// The space in front of a text that begins with an added token: the SentencePiece library puts it there too.
    fn encode_bare_prefix(&self, token: u32, tokens: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let is_added = self.vocabulary.kind(token) == Some(TokenKind::UserDefined);
        if !is_added || !self.special.add_space_prefix {
            return Ok(());
        }
        let mark = SPACE.encode_utf8(&mut [0; 4]).to_owned();
        match &self.model {
            Model::SentencePiece(model) => model.merge(&self.vocabulary, &mark, tokens),
            _ => self.encode_word(&mark, &mut Merger::default(), tokens),
        }
    }

    /// The tokens that come before and behind a text.
    fn frame(&self) -> (Vec<u32>, Vec<u32>) {
        let added = |token: Option<u32>, is_added: bool| -> Vec<u32> {
            token.filter(|_| is_added).into_iter().collect()
        };
        let special = &self.special;
        let mut frame = (
            added(special.bos, special.add_bos),
            added(special.eos, special.add_eos),
        );
        if let Some(piped) = &self.pipeline {
            let stated = &piped.pipeline.frame;
            if !stated.before.is_empty() {
                frame.0.clone_from(&stated.before);
            }
            if !stated.behind.is_empty() {
                frame.1.clone_from(&stated.behind);
            }
        }
        frame
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
        let (before, behind) = match options.add_special {
            true => self.frame(),
            false => (Vec::new(), Vec::new()),
        };
        tokens.extend(before);
        let control = Control {
            parsed: options.parse_special,
            content,
        };
        match &self.pipeline {
            Some(piped) => self.encode_piped(piped, text, control, &mut tokens)?,
            None => self.encode_fragments(text, control, &mut tokens)?,
        }
        tokens.extend(behind);
        Ok(tokens)
    }

    fn token_bytes(&self, token: u32) -> Result<Cow<'_, [u8]>, TokenizerError> {
        let found = self.vocabulary.text(token).zip(self.vocabulary.kind(token));
        let (text, kind) = found.ok_or(TokenizerError::TokenOutOfRange {
            token,
            vocab_size: self.vocab_size(),
        })?;
        Ok(match self.letters {
            Letters::Bytes => byte_level::bytes(text, kind),
            Letters::SentencePiece => sentence_piece::bytes(text, kind),
            Letters::WordPiece => word_piece::bytes(text, kind),
            Letters::Spaced if kind.is_special() => Cow::Borrowed(text.as_bytes()),
            Letters::Spaced => Cow::Owned([b" ", text.as_bytes()].concat()),
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
        let spelled = || match self.letters {
            Letters::Bytes => byte_level::spell(text),
            _ => text.replace(' ', SPACE.encode_utf8(&mut [0; 4])),
        };
        self.vocabulary
            .find(text)
            .or_else(|| self.vocabulary.find(&spelled()))
    }
}
