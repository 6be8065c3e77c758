//! Cuts a text at the tokens that are never merged: special ones and ones that a user added.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::vocabulary::Vocabulary;
use super::{TokenKind, TokenizerError};

/// The most bytes that the texts of special and added tokens may have together. The automaton needs some tens of
/// bytes a byte; the largest published vocabularies have about 100 KB.
const MOST_BYTES: usize = 1 << 20;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fragment<'t> {
    /// Text to be merged into tokens; never empty.
    Text(&'t str),
    /// A token that stood in the text.
    Token(u32),
}

/// Finds special and added tokens in a text: of those that begin first, the longest.
#[derive(Debug)]
pub(super) struct Partition {
    /// Tokens that are always taken as such.
    added: Finder,
    /// These, and the ones that only [`super::EncodeOptions::parse_special`] lets in.
    all: Finder,
}

#[derive(Debug)]
struct Finder {
    automaton: Option<AhoCorasick>,
    tokens: Vec<u32>,
}

impl Partition {
    /// `spelling` gives the text that a token stands for in a text.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        spelling: fn(&str) -> &str,
    ) -> Result<Self, TokenizerError> {
        let is_added = |kind| kind == TokenKind::UserDefined;
        Ok(Partition {
            added: Finder::new(vocabulary, is_added, spelling)?,
            all: Finder::new(
                vocabulary,
                |kind| is_added(kind) || kind.is_special(),
                spelling,
            )?,
        })
    }

    /// The fragments of `text`, in order.
    pub(super) fn split<'t>(&self, text: &'t str, parse_special: bool) -> Vec<Fragment<'t>> {
        let finder = if parse_special {
            &self.all
        } else {
            &self.added
        };
        let mut fragments = Vec::new();
        let mut start = 0;
        for found in finder
            .automaton
            .iter()
            .flat_map(|automaton| automaton.find_iter(text))
        {
            push_text(&mut fragments, &text[start..found.start()]);
            fragments.push(Fragment::Token(finder.tokens[found.pattern()]));
            start = found.end();
        }
        push_text(&mut fragments, &text[start..]);
        fragments
    }
}

impl Finder {
    fn new(
        vocabulary: &Vocabulary,
        wanted: impl Fn(TokenKind) -> bool,
        spelling: fn(&str) -> &str,
    ) -> Result<Self, TokenizerError> {
        let (tokens, texts): (Vec<u32>, Vec<&str>) = vocabulary
            .iter()
            .filter(|&(_, text, kind)| wanted(kind) && !text.is_empty())
            .map(|(token, text, _)| (token, spelling(text)))
            .unzip();
        let too_large = |found| TokenizerError::TooLarge {
            key: "tokenizer.ggml.tokens (special and added ones)",
            found,
            limit: MOST_BYTES,
        };
        let bytes = texts.iter().map(|text| text.len()).sum();
        if bytes > MOST_BYTES {
            return Err(too_large(bytes));
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&texts)
            .map_err(|_| too_large(bytes))?;
        Ok(Finder {
            automaton: (!tokens.is_empty()).then_some(automaton),
            tokens,
        })
    }
}

fn push_text<'t>(fragments: &mut Vec<Fragment<'t>>, text: &'t str) {
    if !text.is_empty() {
        fragments.push(Fragment::Text(text));
    }
}
