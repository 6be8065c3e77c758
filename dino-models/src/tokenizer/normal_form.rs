//! What SentencePiece does to a text before it cuts it: its table of normal forms, and what becomes of spaces.

use super::charsmap::Charsmap;
use super::sentence_piece::SPACE;
use super::{TokenizerError, VocabularyData};

/// Where in a whole text a part of it stands, between tokens that were taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Whether it is treated as the beginning: a space may be put in front, and spaces there go.
    pub(super) at_start: bool,
    /// Whether it is treated as the end: spaces there go.
    pub(super) at_end: bool,
}

impl Place {
    /// A whole text.
    pub(super) const WHOLE: Self = Self {
        at_start: true,
        at_end: true,
    };
}

/// What is done to a text before it is cut.
#[derive(Debug)]
pub(super) struct NormalForm {
    charsmap: Option<Charsmap>,
    /// Whether a text gets a space in front.
    add_space_prefix: bool,
    /// Whether spaces at the ends go, and runs of them become one.
    remove_extra_whitespaces: bool,
}

impl NormalForm {
    pub(super) fn new(data: &VocabularyData<'_>) -> Result<Self, TokenizerError> {
        let charsmap = data.precompiled_charsmap.as_deref().unwrap_or_default();
        Ok(Self {
            charsmap: match charsmap {
                [] => None,
                bytes => Some(Charsmap::new(bytes)?),
            },
            add_space_prefix: data.add_space_prefix.unwrap_or(true),
            remove_extra_whitespaces: data.remove_extra_whitespaces.unwrap_or(true),
        })
    }

    /// The text as tokens spell it.
    pub(super) fn of(&self, text: &str, place: Place) -> String {
        let mut normal = String::with_capacity(text.len() + text.len() / 4);
        if self.add_space_prefix && place.at_start {
            normal.push(SPACE);
        }
        let prefix = normal.len();
        let mut after_space = self.remove_extra_whitespaces && place.at_start;
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let plain = &rest[..character.len_utf8()];
            let entry = self
                .charsmap
                .as_ref()
                .and_then(|map| map.longest_prefix(rest));
            let (length, form) = entry.unwrap_or((plain.len(), plain));
            rest = &rest[length..];
            let mut form = form;
            if after_space {
                form = form.trim_start_matches(' ');
            }
            for character in form.chars() {
                normal.push(if character == ' ' { SPACE } else { character });
            }
            if self.remove_extra_whitespaces && !form.is_empty() {
                after_space = form.ends_with(' ');
            }
        }
        if self.remove_extra_whitespaces && place.at_end {
            let end = normal.trim_end_matches(SPACE).len();
            normal.truncate(end);
        }
        if normal.len() <= prefix && self.remove_extra_whitespaces {
            normal.clear();
        }
        normal
    }
}
