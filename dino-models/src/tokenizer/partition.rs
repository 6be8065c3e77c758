//! Cuts a text at the tokens that are never merged: special ones and ones that a user added.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, Match, MatchKind, StartKind};

use super::vocabulary::Vocabulary;
use super::{TokenKind, TokenizerError};

/// The longest text of such a token. A place is looked at anew for each text that must not be a token there, so this
/// bounds the time.
const LONGEST: usize = 4096;

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
    /// Those of `added` that end texts, ascending: nobody's content may.
    ends: Vec<u32>,
}

#[derive(Debug)]
struct Finder {
    automaton: Option<AhoCorasick>,
    tokens: Vec<u32>,
}

impl Partition {
    /// `spelling` gives the text that a token stands for in a text; `ends` are the tokens that end texts.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        ends: &[u32],
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
            ends: ends.to_vec(),
        })
    }

    /// The fragments of `text`, in order.
    pub(super) fn split<'t>(&self, text: &'t str, control: Control<'_>) -> Vec<Fragment<'t>> {
        let mut fragments = Vec::new();
        let (mut start, mut from) = (0, 0);
        while let Some((token, found)) = self.next(text, from, &control) {
            from = found.end;
            if let Some(token) = token {
                push_text(&mut fragments, &text[start..found.start]);
                fragments.push(Fragment::Token(token));
                start = found.end;
            }
        }
        push_text(&mut fragments, &text[start..]);
        fragments
    }

    /// The first token at or behind `from`; no token and the place to go on from where one must not stand there.
    fn next(
        &self,
        text: &str,
        from: usize,
        control: &Control<'_>,
    ) -> Option<(Option<u32>, Range<usize>)> {
        let input = Input::new(text).range(from..);
        if !control.parsed {
            return self.added.find(input).map(|found| self.added.token(&found));
        }
        let found = self.all.find(input)?;
        if !control.touches_content(&found.range()) {
            return Some(self.all.token(&found));
        }
        // An added token is one wherever it stands, also where a longer text is none.
        let here = Input::new(text)
            .range(found.start()..)
            .anchored(Anchored::Yes);
        let next = text[found.start()..]
            .chars()
            .next()
            .map_or(1, char::len_utf8);
        let nothing = (None, found.start()..found.start() + next);
        let added = self.added.find(here).map(|found| self.added.token(&found));
        let steers = |token: &u32| self.ends.binary_search(token).is_ok();
        Some(
            added
                .filter(|(token, _)| !token.as_ref().is_some_and(steers))
                .unwrap_or(nothing),
        )
    }
}

/// Where control tokens are read from a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Control<'c> {
    /// Whether they are at all.
    pub(super) parsed: bool,
    /// The bytes, ascending, that no control token may touch.
    pub(super) content: &'c [Range<usize>],
}

impl Control<'_> {
    fn touches_content(&self, range: &Range<usize>) -> bool {
        let first = self
            .content
            .partition_point(|content| content.end <= range.start);
        self.content
            .get(first)
            .is_some_and(|content| content.start < range.end)
    }
}

impl Finder {
    fn find(&self, input: Input<'_>) -> Option<Match> {
        self.automaton.as_ref()?.find(input)
    }

    fn token(&self, found: &Match) -> (Option<u32>, Range<usize>) {
        (Some(self.tokens[found.pattern()]), found.range())
    }

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
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        if bytes > MOST_BYTES || longest > LONGEST {
            return Err(too_large(bytes));
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .start_kind(StartKind::Both)
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
