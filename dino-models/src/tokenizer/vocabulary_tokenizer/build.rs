//! How a vocabulary becomes a tokenizer: by its kind, or as a `tokenizer.json` says.

use super::super::bpe::Bpe;
use super::super::byte_level::ByteLevel;
use super::super::partition::{Edges, Entry, Partition};
use super::super::pipeline::{Letters, Pipeline};
use super::super::sentence_piece::SentencePiece;
use super::super::special::Defaults;
use super::super::unigram::Unigram;
use super::super::vocabulary::Vocabulary;
use super::super::word_piece::{self, WordPiece};
use super::super::{
    PreTokenizer, SpecialTokens, TokenKind, TokenizerError, VocabularyData, WordPieceOptions,
};
use super::{Model, Piped, VocabularyTokenizer};
use crate::format::Metadata;

/// The kinds of vocabulary that are supported.
const MODELS: &[&str] = &["gpt2", "llama", "bert", "t5"];

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
