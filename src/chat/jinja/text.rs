//! Texts that know which of their bytes the template did not write.
//!
//! A conversation may contain what looks like the model's own marks: a user who types `<|im_end|>` must not end a turn. So
//! every text from outside is foreign from the start, and whatever is made of it carries that along, byte for byte where
//! parts are cut out or put together, and as a whole where they are rewritten. What is printed is not changed by it.

use std::cmp::Ordering;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A text and the origin of its bytes. Compared as its text alone.
#[derive(Clone, Debug)]
pub(in crate::chat) struct Text {
    text: Arc<str>,
    /// The foreign bytes: ascending, apart, none empty.
    foreign: Arc<[Range<usize>]>,
}

impl Text {
    /// What the template says.
    pub(super) fn own(text: impl Into<Arc<str>>) -> Self {
        Self {
            text: text.into(),
            foreign: Arc::default(),
        }
    }

    /// What comes from outside.
    pub(super) fn foreign(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let all = 0..text.len();
        Self {
            foreign: if all.is_empty() {
                Arc::default()
            } else {
                Arc::new([all])
            },
            text,
        }
    }

    /// A text that was made of others, each of its bytes of any of theirs: foreign if one of them was.
    pub(super) fn rewritten(text: impl Into<Arc<str>>, of_foreign: bool) -> Self {
        if of_foreign {
            Self::foreign(text)
        } else {
            Self::own(text)
        }
    }

    /// Whether any byte is foreign.
    pub(super) fn has_foreign(&self) -> bool {
        !self.foreign.is_empty()
    }

    /// The text itself, to be shared.
    pub(super) fn shared(&self) -> &Arc<str> {
        &self.text
    }

    /// A part that was cut out of this text, as a slice of it.
    pub(super) fn part(&self, part: &str) -> Self {
        if !self.has_foreign() {
            return Self::own(part);
        }
        let start = part.as_ptr().addr().checked_sub(self.as_ptr().addr());
        let Some(start) = start.filter(|start| start + part.len() <= self.len()) else {
            return Self::foreign(part);
        };
        if part.len() == self.len() {
            return self.clone();
        }
        let end = start + part.len();
        let first = self.foreign.partition_point(|range| range.end <= start);
        let inside = self.foreign[first..]
            .iter()
            .take_while(|range| range.start < end)
            .map(|range| range.start.max(start) - start..range.end.min(end) - start);
        Self {
            text: part.into(),
            foreign: if part.is_empty() {
                Arc::default()
            } else {
                inside.collect()
            },
        }
    }

    /// Takes it apart: the text, and its foreign bytes.
    pub(in crate::chat) fn into_parts(self) -> (String, Vec<Range<usize>>) {
        (self.text.to_string(), self.foreign.to_vec())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

/// Puts texts together.
#[derive(Debug, Default)]
pub(super) struct TextBuilder {
    text: String,
    foreign: Vec<Range<usize>>,
}

impl TextBuilder {
    /// Appends what the template says.
    pub(super) fn push_own(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends a text with the origins of its bytes.
    pub(super) fn push(&mut self, text: &Text) {
        let before = self.text.len();
        self.text.push_str(text);
        for range in text.foreign.iter() {
            let range = before + range.start..before + range.end;
            match self.foreign.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => self.foreign.push(range),
            }
        }
    }

    /// The whole.
    pub(super) fn finish(self) -> Text {
        Text {
            text: self.text.into(),
            foreign: self.foreign.into(),
        }
    }
}

impl FromIterator<Text> for TextBuilder {
    fn from_iter<I: IntoIterator<Item = Text>>(texts: I) -> Self {
        let mut builder = Self::default();
        for text in texts {
            builder.push(&text);
        }
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined() -> Text {
        [
            Text::own("ab"),
            Text::foreign("cde"),
            Text::foreign("f"),
            Text::own("gh"),
        ]
        .into_iter()
        .collect::<TextBuilder>()
        .finish()
    }

    /// Which bytes are foreign, as a mark under each.
    fn marks(text: &Text) -> String {
        let (text, foreign) = text.clone().into_parts();
        let is_foreign = |at: usize| foreign.iter().any(|range| range.contains(&at));
        (0..text.len())
            .map(|at| if is_foreign(at) { '^' } else { '.' })
            .collect()
    }

    #[test]
    fn parts_keep_the_origin_of_their_bytes() {
        let text = joined();
        assert_eq!(&*text, "abcdefgh");
        assert_eq!(marks(&text), "..^^^^..");
        for start in 0..=8 {
            for end in start..=8 {
                assert_eq!(
                    marks(&text.part(&text[start..end])),
                    marks(&text)[start..end]
                );
            }
        }
    }

    #[test]
    fn what_is_no_part_is_foreign() {
        let stranger = "x".to_owned();
        assert_eq!(marks(&joined().part(&stranger)), "^");
        assert_eq!(marks(&Text::own("ab").part(&stranger)), ".");
    }
}
