//! Normal forms.

use serde_json::Value as Json;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use unicode_segmentation::UnicodeSegmentation;

use super::super::TokenizerError;
use super::super::characters::{ACCENTS, CONTROLS};
use super::super::charsmap::Charsmap;
use super::super::word_piece::is_chinese;
use super::pattern::Pattern;
use super::{parts, unsupported};

/// One thing that is done to a text.
#[derive(Debug)]
pub(super) enum Normalizer {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    Lowercase,
    StripAccents,
    Strip { left: bool, right: bool },
    Prepend(String),
    Replace { pattern: Pattern, content: String },
    Precompiled(Charsmap),
    Nmt,
    Bert(Bert),
}

/// What BERT's own normalizer does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bert {
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: bool,
    lowercase: bool,
}

impl Normalizer {
    /// Appends the normalizers that `json` describes.
    pub(super) fn read(json: &Json, list: &mut Vec<Self>) -> Result<(), TokenizerError> {
        for part in parts(json, "normalizers") {
            let refused = || unsupported("normalizer", part);
            let text = |key: &str| part[key].as_str().ok_or_else(refused);
            let flag = |key: &str, default: bool| part[key].as_bool().unwrap_or(default);
            list.push(match part["type"].as_str() {
                Some("Sequence") => {
                    Self::read(part, list)?;
                    continue;
                }
                Some("NFC") => Self::Nfc,
                Some("NFD") => Self::Nfd,
                Some("NFKC") => Self::Nfkc,
                Some("NFKD") => Self::Nfkd,
                Some("Lowercase") => Self::Lowercase,
                Some("StripAccents") => Self::StripAccents,
                Some("Strip") => Self::Strip {
                    left: flag("strip_left", true),
                    right: flag("strip_right", true),
                },
                Some("Prepend") => Self::Prepend(short(text("prepend")?).ok_or_else(refused)?),
                Some("Replace") => Self::Replace {
                    pattern: Pattern::read("normalizer", &part["pattern"])?,
                    content: short(text("content")?).ok_or_else(refused)?,
                },
                Some("Precompiled") => {
                    let map = text("precompiled_charsmap")?;
                    Self::Precompiled(Charsmap::new(&from_base64(map).ok_or_else(refused)?)?)
                }
                Some("Nmt") => Self::Nmt,
                Some("BertNormalizer") => {
                    let lowercase = flag("lowercase", true);
                    Self::Bert(Bert {
                        clean_text: flag("clean_text", true),
                        handle_chinese_chars: flag("handle_chinese_chars", true),
                        strip_accents: flag("strip_accents", lowercase),
                        lowercase,
                    })
                }
                _ => return Err(refused()),
            });
        }
        Ok(())
    }

    /// Whether what begins `text` is lost to the library's count of characters: it then no longer takes what comes of it
    /// for the beginning of a text.
    pub(super) fn moves_start(&self, text: &str) -> bool {
        match self {
            Self::Strip { left, .. } => *left && text.starts_with(char::is_whitespace),
            Self::Replace { pattern, .. } => {
                let first = pattern
                    .matches(text)
                    .next()
                    .filter(|found| found.start == 0);
                first.is_some_and(|found| text[found].chars().nth(1).is_some())
            }
            _ => false,
        }
    }

    /// What becomes of `text`; `None` if it stays as it is.
    pub(super) fn apply(&self, text: &str) -> Option<String> {
        Some(match self {
            Self::Nfc => match is_nfc_quick(text.chars()) {
                IsNormalized::Yes => return None,
                _ => text.nfc().collect(),
            },
            Self::Nfd => text.nfd().collect(),
            Self::Nfkc => text.nfkc().collect(),
            Self::Nfkd => text.nfkd().collect(),
            Self::Lowercase => lowercase(text),
            Self::StripAccents => text.chars().filter(|&c| !is_combining_mark(c)).collect(),
            Self::Strip { left, right } => {
                let text = if *left { text.trim_start() } else { text };
                let text = if *right { text.trim_end() } else { text };
                text.to_owned()
            }
            Self::Prepend(prefix) if text.is_empty() || prefix.is_empty() => return None,
            Self::Prepend(prefix) => [prefix, text].concat(),
            Self::Replace { pattern, content } => replace(text, pattern, content)?,
            Self::Precompiled(map) => precompiled(map, text),
            Self::Nmt => text.chars().filter_map(nmt).collect(),
            Self::Bert(bert) => bert.apply(text),
        })
    }
}

/// A text that may be put in many places.
fn short(text: &str) -> Option<String> {
    const LONGEST: usize = 256;
    (text.len() <= LONGEST).then(|| text.to_owned())
}

/// Letter by letter, as the library does: a final sigma is none here.
fn lowercase(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

fn replace(text: &str, pattern: &Pattern, content: &str) -> Option<String> {
    let mut replaced = String::new();
    let mut start = None;
    for found in pattern.matches(text) {
        replaced.push_str(&text[start.unwrap_or(0)..found.start]);
        replaced.push_str(content);
        start = Some(found.end);
    }
    replaced.push_str(&text[start?..]);
    Some(replaced)
}

/// SentencePiece's table as the library applies it: to clusters of characters of up to five bytes as a whole, of which the
/// shortest entry decides, else to each character.
fn precompiled(map: &Charsmap, text: &str) -> String {
    const LONGEST_CLUSTER: usize = 5;
    let mut normal = String::with_capacity(text.len());
    for cluster in text.graphemes(true) {
        if cluster.len() <= LONGEST_CLUSTER
            && let Some(form) = map.shortest_prefix(cluster)
        {
            normal.push_str(form);
            continue;
        }
        for character in cluster.chars() {
            let mut bytes = [0; 4];
            let character: &str = character.encode_utf8(&mut bytes);
            normal.push_str(map.shortest_prefix(character).unwrap_or(character));
        }
    }
    normal
}

/// The normal form of the toolkits for translation that SentencePiece took over.
fn nmt(character: char) -> Option<char> {
    match u32::from(character) {
        0x01..=0x08 | 0x0B | 0x0E..=0x1F | 0x7F | 0x8F | 0x9F => None,
        0x09
        | 0x0A
        | 0x0C
        | 0x0D
        | 0x1680
        | 0x200B..=0x200F
        | 0x2028
        | 0x2029
        | 0x2581
        | 0xFEFF
        | 0xFFFD => Some(' '),
        _ => Some(character),
    }
}

impl Bert {
    fn apply(self, text: &str) -> String {
        let mut normal = String::with_capacity(text.len());
        let is_dropped =
            |c: char| c == '\0' || c == char::REPLACEMENT_CHARACTER || CONTROLS.contains(c);
        for character in text.chars() {
            if self.clean_text && is_dropped(character) {
                continue;
            }
            let character = match character {
                space if self.clean_text && space.is_whitespace() => ' ',
                other => other,
            };
            if self.handle_chinese_chars && is_chinese(character) {
                normal.extend([' ', character, ' ']);
            } else {
                normal.push(character);
            }
        }
        if self.strip_accents {
            normal = normal.nfd().filter(|&c| !ACCENTS.contains(c)).collect();
        }
        if self.lowercase {
            normal = lowercase(&normal);
        }
        normal
    }
}

/// The bytes of a text in base 64.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let value = |letter: u8| {
        Some(u32::from(match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }))
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut bits = 0;
        for &letter in four {
            bits = bits << 6 | value(letter)?;
        }
        bits <<= 6 * (4 - four.len());
        let whole = four.len() * 3 / 4;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_read_as_written() {
        for (text, bytes) in [
            ("", ""),
            ("TQ==", "M"),
            ("TWE=", "Ma"),
            ("TWFu", "Man"),
            ("Pz8/Pj4+", "???>>>"),
        ] {
            assert_eq!(from_base64(text).unwrap(), bytes.as_bytes(), "{text}");
        }
        assert_eq!(from_base64("T!=="), None);
    }
}
