//! The tokenizer that a model file's vocabulary gives.

use std::borrow::Cow;
use std::ops::Range;

use super::bpe::Bpe;
use super::byte_level::{self, ByteLevel};
use super::merge::Merger;
use super::normal_form::Place;
use super::partition::{Control, Edges, Entry, Fragment, Partition};
use super::pipeline::{Letters, Pipeline};
use super::sentence_piece::{self, SPACE, SentencePiece};
use super::special::Defaults;
use super::unigram::Unigram;
use super::vocabulary::Vocabulary;
use super::word_piece::{self, WordPiece};
use super::{
    EncodeOptions, PreTokenizer, SpecialTokens, TokenKind, Tokenizer, TokenizerError,
    VocabularyData, WordPieceOptions,
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
    /// Checks `data` and builds the tokenizer; `data` is not needed afterwards.
    ///
    /// # Errors
    /// The kind of vocabulary or its pre-tokenizer is unknown, or the arrays do not fit together.
    pub fn new(data: &VocabularyData<'_>) -> Result<Self, TokenizerError> {
        match data.model {
            _ if data.pipeline.is_some() => Self::piped(data),
            "gpt2" => Self::byte_level(data),
            "llama" => Self::sentence_piece(data),
            "bert" => Self::word_piece(data),
            "t5" => Self::unigram(data),
            other => Err(unknown_model(other)),
        }
    }

    /// Builds the tokenizer of the model file with `metadata`.
    ///
    /// # Errors
    /// As [`VocabularyData::from_metadata`] and [`VocabularyTokenizer::new`].
    pub fn from_metadata(metadata: &Metadata) -> Result<Self, TokenizerError> {
        Self::new(&VocabularyData::from_metadata(metadata)?)
    }

    fn piped(data: &VocabularyData<'_>) -> Result<Self, TokenizerError> {
        let pipeline = Pipeline::new(data.pipeline.unwrap_or_default())?;
        let vocabulary = Vocabulary::new(data)?;
        pipeline.check(vocabulary.len())?;
        let parts = &pipeline.model;
        let unknown = parts
            .unk_token
            .as_deref()
            .and_then(|text| vocabulary.find(text));
        let defaults = Defaults {
            unk: unknown,
            add_space_prefix: pipeline.spelling.drops_first_space,
            ..Defaults::default()
        };
        let special = SpecialTokens::new(data, defaults, &vocabulary)?;
        let unknown = unknown.or(special.unk);
        let model = match data.model {
            "gpt2" | "llama" => Model::Bpe(Box::new(Bpe::new(data, &vocabulary, parts.clone())?)),
            "t5" => Model::Unigram(Box::new(Unigram::new(data, &vocabulary, unknown)?)),
            "bert" => {
                let mut options = WordPieceOptions::bert(true);
                options.max_input_chars_per_word = parts.max_input_chars_per_word;
                let word_piece = Some(options);
                let data = VocabularyData {
                    word_piece,
                    ..data.clone()
                };
                Model::WordPiece(WordPiece::new(&data, &vocabulary, unknown)?)
            }
            other => return Err(unknown_model(other)),
        };
        let ends = special.end_of_generation(&vocabulary);
        let (as_written, in_normal_form) = entries_of(&pipeline, &vocabulary);
        let normalized = (!in_normal_form.is_empty())
            .then(|| Partition::new(&in_normal_form, &ends))
            .transpose()?;
        Ok(VocabularyTokenizer {
            partition: Partition::new(&as_written, &ends)?,
            letters: pipeline.spelling.letters,
            pipeline: Some(Box::new(Piped {
                pipeline,
                normalized,
            })),
            prefix_first: false,
            end_of_generation: ends,
            vocabulary,
            special,
            model,
        })
    }

    fn byte_level(data: &VocabularyData<'_>) -> Result<Self, TokenizerError> {
        let words = PreTokenizer::new(data.pre.unwrap_or("default"))?;
        let vocabulary = Vocabulary::new(data)?;
        let defaults = Defaults {
            add_bos: words.add_bos(),
            add_eos: words.add_eos(),
            ..Defaults::default()
        };
        let special = SpecialTokens::new(data, defaults, &vocabulary)?;
        let model = ByteLevel::new(data, &vocabulary, words)?;
        Self::assemble(
            vocabulary,
            special,
            Model::ByteLevel(Box::new(model)),
            data.prefix_first,
        )
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
        Self::assemble(
            vocabulary,
            special,
            Model::SentencePiece(model),
            data.prefix_first,
        )
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
        Self::assemble(
            vocabulary,
            special,
            Model::WordPiece(model),
            data.prefix_first,
        )
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
        Self::assemble(
            vocabulary,
            special,
            Model::Unigram(Box::new(model)),
            data.prefix_first,
        )
    }

    fn assemble(
        vocabulary: Vocabulary,
        special: SpecialTokens,
        model: Model,
        prefix_first: bool,
    ) -> Result<Self, TokenizerError> {
        let letters = match model {
            Model::ByteLevel(_) => Letters::Bytes,
            Model::WordPiece(_) => Letters::WordPiece,
            _ => Letters::SentencePiece,
        };
        let entries: Vec<Entry<'_>> = vocabulary
            .iter()
            .filter(|(_, text, kind)| {
                (kind.is_special() || *kind == TokenKind::UserDefined) && !text.is_empty()
            })
            .map(|(token, text, kind)| Entry {
                token,
                text: match letters {
                    Letters::WordPiece => word_piece::without_mark(text).into(),
                    _ => text.into(),
                },
                is_added: kind == TokenKind::UserDefined,
                edges: Edges::default(),
            })
            .collect();
        let end_of_generation = special.end_of_generation(&vocabulary);
        Ok(VocabularyTokenizer {
            partition: Partition::new(&entries, &end_of_generation)?,
            end_of_generation,
            vocabulary,
            special,
            model,
            letters,
            pipeline: None,
            prefix_first,
        })
    }

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

fn unknown_model(found: &str) -> TokenizerError {
    TokenizerError::UnknownModel {
        found: found.to_owned(),
        known: MODELS,
    }
}

/// The added tokens that are looked for in a text as it is, and those that are looked for in its normal form.
fn entries_of<'v>(
    pipeline: &Pipeline,
    vocabulary: &'v Vocabulary,
) -> (Vec<Entry<'v>>, Vec<Entry<'v>>) {
    let mut as_written = Vec::new();
    let mut in_normal_form = Vec::new();
    for added in &pipeline.added {
        let found = vocabulary.text(added.id).zip(vocabulary.kind(added.id));
        let Some((text, kind)) = found.filter(|(text, _)| !text.is_empty()) else {
            continue;
        };
        let entry = Entry {
            token: added.id,
            text: text.into(),
            is_added: !kind.is_special(),
            edges: added.edges,
        };
        let normalized = added.normalized && pipeline.normalizes();
        if normalized {
            let text = match pipeline.normalize(text) {
                Ok((normal, _)) => normal.into_owned().into(),
                Err(_) => text.into(),
            };
            in_normal_form.push(Entry {
                text,
                ..entry.clone()
            });
        }
        // Control tokens are looked for as they are in any case: see `encode_piped`.
        if !normalized || kind.is_special() {
            as_written.push(entry);
        }
    }
    in_normal_form.retain(|entry| !entry.text.is_empty());
    (as_written, in_normal_form)
}
