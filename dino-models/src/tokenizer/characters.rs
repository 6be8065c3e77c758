//! Classes of characters that tokenizers ask for, by Unicode's general categories.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// A set of characters.
#[derive(Debug)]
pub(super) struct CharacterSet {
    /// First and last of each range, ascending.
    ranges: Vec<(char, char)>,
}

/// Marks that take no space of their own, such as accents: `Mn`.
pub(super) static ACCENTS: LazyLock<CharacterSet> = LazyLock::new(|| CharacterSet::new(r"\p{Mn}"));

/// Punctuation, `P`, and the symbols of ASCII.
pub(super) static PUNCTUATION: LazyLock<CharacterSet> =
    LazyLock::new(|| CharacterSet::new(r"[\p{P}!-/:-@\[-`{-~]"));

/// Decimal digits of every script: `Nd`.
pub(super) static DIGITS: LazyLock<CharacterSet> = LazyLock::new(|| CharacterSet::new(r"\p{Nd}"));

/// What gives no text: control, format and private-use characters, except tab and line ends.
pub(super) static CONTROLS: LazyLock<CharacterSet> =
    LazyLock::new(|| CharacterSet::new(r"[\p{Cc}\p{Cf}\p{Co}--\t\n\r]"));

impl CharacterSet {
    /// The characters that `class`, a constant of this crate, matches.
    fn new(class: &str) -> Self {
        let hir = regex_syntax::parse(class).expect("the classes of this file are valid");
        let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
            unreachable!("the classes of this file are classes of characters");
        };
        let ranges = class.iter().map(|range| (range.start(), range.end()));
        Self {
            ranges: ranges.collect(),
        }
    }

    pub(super) fn contains(&self, character: char) -> bool {
        let after = self.ranges.partition_point(|(_, last)| *last < character);
        self.ranges
            .get(after)
            .is_some_and(|(first, _)| *first <= character)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_unicode_says() {
        assert!(ACCENTS.contains('\u{301}') && !ACCENTS.contains('e') && !ACCENTS.contains('é'));
        for symbol in "!$+<=>@[\\]^_`{|}~".chars() {
            assert!(PUNCTUATION.contains(symbol), "{symbol}");
        }
        assert!(PUNCTUATION.contains('¿') && PUNCTUATION.contains('。'));
        assert!(!PUNCTUATION.contains('€') && !PUNCTUATION.contains('a'));
        assert!(CONTROLS.contains('\0') && CONTROLS.contains('\u{200d}'));
        assert!(!CONTROLS.contains('\n') && !CONTROLS.contains(' ') && !CONTROLS.contains('中'));
    }
}
