//! Cuts a text into words.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value as Json;

use super::super::TokenizerError;
use super::super::byte_level;
use super::super::characters::PUNCTUATION;
use super::super::pretokenizer::Cutter;
use super::pattern::Pattern;
use super::{parts, unsupported};

/// The pattern that GPT-2 cuts words by, which a part means that only says `ByteLevel`.
pub(in super::super) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// A part of a text on its way to become words.
#[derive(Clone, Debug)]
pub(super) struct Piece<'t> {
    pub(super) text: Cow<'t, str>,
    /// Whether the whole text begins with it.
    pub(super) at_start: bool,
}

/// One thing that is done to every piece.
#[derive(Debug)]
pub(super) enum Cut {
    /// Cuts at what a pattern matches.
    Split {
        pattern: Pattern,
        invert: bool,
        behavior: Behavior,
    },
    /// Spells spaces as SentencePiece does, and puts one in front.
    Spaces { replacement: char, prepend: Prepend },
    /// Puts a space in front.
    SpaceInFront,
    /// Spells each byte as a letter.
    Bytes,
}

/// What becomes of what a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behavior {
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// Which pieces get a space in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prepend {
    Always,
    First,
    Never,
}

impl Behavior {
    fn read(json: &Json, default: Self) -> Option<Self> {
        Some(match json.as_str() {
            None if json.is_null() => default,
            Some("Removed") => Self::Removed,
            Some("Isolated") => Self::Isolated,
            Some("MergedWithPrevious") => Self::MergedWithPrevious,
            Some("MergedWithNext") => Self::MergedWithNext,
            Some("Contiguous") => Self::Contiguous,
            _ => return None,
        })
    }
}

impl Cut {
    /// Appends the cuts that `json` describes.
    pub(super) fn read(json: &Json, list: &mut Vec<Self>) -> Result<(), TokenizerError> {
        for part in parts(json, "pretokenizers") {
            let refused = || unsupported("pre_tokenizer", part);
            let flag = |key: &str, default: bool| part[key].as_bool().unwrap_or(default);
            let regex = |pattern| Cutter::from_pattern(pattern).ok_or_else(refused);
            let at = |class, behavior| Self::split(Pattern::Class(class), behavior);
            let kept = |pattern, behavior| -> Result<Self, TokenizerError> {
                Ok(Self::split(
                    Pattern::Regex(Box::new(regex(pattern)?)),
                    behavior,
                ))
            };
            match part["type"].as_str() {
                Some("Sequence") => Self::read(part, list)?,
                Some("ByteLevel") => {
                    if flag("add_prefix_space", true) {
                        list.push(Self::SpaceInFront);
                    }
                    if flag("use_regex", true) {
                        list.push(kept(GPT2, Behavior::Isolated)?);
                    }
                    list.push(Self::Bytes);
                }
                Some("Metaspace") => Self::read_metaspace(part, list)?,
                Some("Whitespace") => list.push(Self::Split {
                    pattern: Pattern::Regex(Box::new(regex(r"\w+|[^\w\s]+")?)),
                    invert: true,
                    behavior: Behavior::Removed,
                }),
                Some("WhitespaceSplit") => list.push(at(char::is_whitespace, Behavior::Removed)),
                Some("BertPreTokenizer") => {
                    list.push(at(char::is_whitespace, Behavior::Removed));
                    list.push(at(is_punctuation, Behavior::Isolated));
                }
                Some("Punctuation") => {
                    let behavior = Behavior::read(&part["behavior"], Behavior::Isolated);
                    list.push(at(is_punctuation, behavior.ok_or_else(refused)?));
                }
                Some("Digits") => list.push(at(
                    char::is_numeric,
                    match flag("individual_digits", false) {
                        true => Behavior::Isolated,
                        false => Behavior::Contiguous,
                    },
                )),
                Some("CharDelimiterSplit") => {
                    let delimiter = single(&part["delimiter"]).ok_or_else(refused)?;
                    list.push(Self::split(Pattern::Char(delimiter), Behavior::Removed));
                }
                Some("Split") => {
                    let behavior = Behavior::read(&part["behavior"], Behavior::Isolated);
                    list.push(Self::Split {
                        pattern: Pattern::read("pre_tokenizer", &part["pattern"])?,
                        invert: flag("invert", false),
                        behavior: behavior.ok_or_else(refused)?,
                    });
                }
                _ => return Err(refused()),
            }
        }
        Ok(())
    }

    fn split(pattern: Pattern, behavior: Behavior) -> Self {
        Self::Split {
            pattern,
            invert: false,
            behavior,
        }
    }

    fn read_metaspace(part: &Json, list: &mut Vec<Self>) -> Result<(), TokenizerError> {
        let refused = || unsupported("pre_tokenizer", part);
        let replacement = single(&part["replacement"]).ok_or_else(refused)?;
        let prepend = match part["prepend_scheme"].as_str() {
            None if part["add_prefix_space"] == false => Prepend::Never,
            None | Some("always") => Prepend::Always,
            Some("first") => Prepend::First,
            Some("never") => Prepend::Never,
            Some(_) => return Err(refused()),
        };
        list.push(Self::Spaces {
            replacement,
            prepend,
        });
        if part["split"] != false {
            list.push(Self::split(
                Pattern::Char(replacement),
                Behavior::MergedWithNext,
            ));
        }
        Ok(())
    }

    /// Appends what `piece` becomes.
    pub(super) fn apply<'t>(&self, piece: Piece<'t>, out: &mut Vec<Piece<'t>>) {
        match self {
            Self::Split {
                pattern,
                invert,
                behavior,
            } => {
                for range in ranges(&piece.text, pattern, *invert, *behavior) {
                    out.push(Piece {
                        at_start: piece.at_start && range.start == 0,
                        text: part(&piece.text, range),
                    });
                }
            }
            Self::Spaces {
                replacement,
                prepend,
            } => {
                let mut text = piece
                    .text
                    .replace(' ', replacement.encode_utf8(&mut [0; 4]));
                let wanted =
                    *prepend == Prepend::Always || *prepend == Prepend::First && piece.at_start;
                if wanted && !text.starts_with(*replacement) {
                    text.insert(0, *replacement);
                }
                out.push(Piece {
                    text: Cow::Owned(text),
                    ..piece
                });
            }
            Self::SpaceInFront if !piece.text.starts_with(' ') => out.push(Piece {
                text: Cow::Owned([" ", &piece.text].concat()),
                ..piece
            }),
            Self::SpaceInFront => out.push(piece),
            Self::Bytes => out.push(Piece {
                text: Cow::Owned(byte_level::spell(&piece.text)),
                ..piece
            }),
        }
    }
}

/// The one character that a text must be.
fn single(json: &Json) -> Option<char> {
    let mut chars = json.as_str()?.chars();
    chars.next().filter(|_| chars.next().is_none())
}

fn is_punctuation(character: char) -> bool {
    PUNCTUATION.contains(character)
}

fn part<'t>(text: &Cow<'t, str>, range: Range<usize>) -> Cow<'t, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[range]),
        Cow::Owned(text) => Cow::Owned(text[range].to_owned()),
    }
}

/// The parts of `text`, none empty.
fn ranges(text: &str, pattern: &Pattern, invert: bool, behavior: Behavior) -> Vec<Range<usize>> {
    let mut marked: Vec<(Range<usize>, bool)> = Vec::new();
    let mut start = 0;
    for found in pattern.matches(text) {
        if start < found.start {
            marked.push((start..found.start, invert));
        }
        start = found.end;
        marked.push((found, !invert));
    }
    if start < text.len() {
        marked.push((start..text.len(), invert));
    }
    let mut kept: Vec<Range<usize>> = Vec::with_capacity(marked.len());
    let mut before = false;
    match behavior {
        Behavior::Removed => kept.extend(
            marked
                .into_iter()
                .filter(|(_, hit)| !hit)
                .map(|(range, _)| range),
        ),
        Behavior::Isolated => kept.extend(marked.into_iter().map(|(range, _)| range)),
        Behavior::MergedWithNext => {
            for (range, hit) in marked.into_iter().rev() {
                match kept.last_mut() {
                    Some(next) if hit && !before => next.start = range.start,
                    _ => kept.push(range),
                }
                before = hit;
            }
            kept.reverse();
        }
        Behavior::MergedWithPrevious | Behavior::Contiguous => {
            for (range, hit) in marked {
                let joins = match behavior {
                    Behavior::Contiguous => hit == before,
                    _ => hit && !before,
                };
                match kept.last_mut() {
                    Some(last) if joins => last.end = range.end,
                    _ => kept.push(range),
                }
                before = hit;
            }
        }
    }
    kept
}
