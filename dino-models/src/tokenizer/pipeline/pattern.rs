//! What a part looks for in a text.

use std::ops::Range;

use serde_json::Value as Json;

use super::super::TokenizerError;
use super::super::pretokenizer::Cutter;
use super::unsupported;

/// Something to look for.
#[derive(Debug)]
pub(super) enum Pattern {
    /// This very text.
    Text(String),
    /// A regular expression.
    Regex(Box<Cutter>),
    /// Single characters.
    Class(fn(char) -> bool),
    /// This character.
    Char(char),
}

impl Pattern {
    /// Reads `{"String": …}` or `{"Regex": …}` of the part `part`.
    pub(super) fn read(part: &str, json: &Json) -> Result<Self, TokenizerError> {
        let refused = || unsupported(part, json);
        if let Some(text) = json["String"].as_str().filter(|text| !text.is_empty()) {
            return Ok(Self::Text(text.to_owned()));
        }
        let pattern = json["Regex"].as_str().ok_or_else(refused)?;
        let cutter = Cutter::from_pattern(pattern).ok_or_else(refused)?;
        Ok(Self::Regex(Box::new(cutter)))
    }

    /// Where it stands in `text`, from left to right.
    pub(super) fn matches<'t>(
        &'t self,
        text: &'t str,
    ) -> Box<dyn Iterator<Item = Range<usize>> + 't> {
        let of = |(at, found): (usize, &str)| at..at + found.len();
        match self {
            Self::Text(wanted) => Box::new(text.match_indices(wanted.as_str()).map(of)),
            Self::Class(class) => Box::new(text.match_indices(*class).map(of)),
            Self::Char(wanted) => Box::new(text.match_indices(*wanted).map(of)),
            Self::Regex(cutter) => {
                let mut start = 0;
                Box::new(std::iter::from_fn(move || {
                    let found = cutter.next(text, start)?;
                    start = found.end;
                    Some(found)
                }))
            }
        }
    }
}
