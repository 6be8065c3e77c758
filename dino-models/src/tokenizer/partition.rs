//! Cuts a text at the tokens that are never merged: special ones and ones that a user added.

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, Input, Match, MatchKind, StartKind};
use hashbrown::HashMap;

use super::TokenizerError;

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

/// A token that is taken out of texts, and how it is looked for.
#[derive(Clone, Debug)]
pub(super) struct Entry<'v> {
    pub(super) token: u32,
    /// What it is written as in a text; never empty.
    pub(super) text: Cow<'v, str>,
    /// Whether it is always taken as such; else only where control tokens are read.
    pub(super) is_added: bool,
    pub(super) edges: Edges,
}

/// What may or must be beside a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edges {
    /// White space before it belongs to it.
    pub(super) lstrip: bool,
    /// White space behind it belongs to it.
    pub(super) rstrip: bool,
    /// It is none where a letter touches it.
    pub(super) single_word: bool,
}

impl Edges {
    /// The bytes that belong to the token at `found`, of those from `start` on; `None` if it is none there.
    fn fit(self, text: &str, start: usize, found: Range<usize>) -> Option<Range<usize>> {
        let (before, behind) = (&text[start..found.start], &text[found.end..]);
        let touches = |letter: Option<char>| letter.is_some_and(regex_syntax::is_word_character);
        if self.single_word
            && (touches(text[..found.start].chars().next_back()) || touches(behind.chars().next()))
        {
            return None;
        }
        let from = match self.lstrip {
            true => start + before.trim_end().len(),
            false => found.start,
        };
        let to = match self.rstrip {
            true => text.len() - behind.trim_start().len(),
            false => found.end,
        };
        Some(from..to)
    }
}

/// Finds special and added tokens in a text: of those that begin first, the longest.
#[derive(Debug)]
pub(super) struct Partition {
    /// Tokens that are always taken as such.
    added: Finder,
    /// These, and the ones that only [`super::EncodeOptions::parse_special`] lets in.
    all: Finder,
    /// Those of `added` that steer the model all the same, ascending: nobody's content may.
    steering: Vec<u32>,
    /// The tokens that care what is beside them.
    edges: HashMap<u32, Edges>,
}

#[derive(Debug)]
struct Finder {
    automaton: Option<AhoCorasick>,
    tokens: Vec<u32>,
}

impl Partition {
    /// `ends` are the tokens that end texts.
    pub(super) fn new(entries: &[Entry<'_>], ends: &[u32]) -> Result<Self, TokenizerError> {
        let looks_special = entries.iter().filter(|entry| looks_special(&entry.text));
        let mut steering = ends.to_vec();
        steering.extend(looks_special.map(|entry| entry.token));
        steering.sort_unstable();
        let edges = entries
            .iter()
            .filter(|entry| entry.edges != Edges::default());
        Ok(Partition {
            added: Finder::new(entries.iter().filter(|entry| entry.is_added))?,
            all: Finder::new(entries.iter())?,
            steering,
            edges: edges.map(|entry| (entry.token, entry.edges)).collect(),
        })
    }

    /// The fragments of `text`, in order.
    pub(super) fn split<'t>(&self, text: &'t str, control: Control<'_>) -> Vec<Fragment<'t>> {
        let mut fragments = Vec::new();
        let (mut start, mut from) = (0, 0);
        while let Some((token, found)) = self.next(text, from, &control) {
            from = found.end;
            let edges = |token| self.edges.get(&token).copied().unwrap_or_default();
            let fits = |token| Some((token, edges(token).fit(text, start, found)?));
            if let Some((token, taken)) = token.and_then(fits) {
                push_text(&mut fragments, &text[start..taken.start]);
                fragments.push(Fragment::Token(token));
                start = taken.end;
                from = start;
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
        let steers = |token: &u32| self.steering.binary_search(token).is_ok();
        Some(
            added
                .filter(|(token, _)| !token.as_ref().is_some_and(steers))
                .unwrap_or(nothing),
        )
    }
}

/// Whether a token is written as marks of turns are. Some files call them added tokens and not control tokens.
fn looks_special(text: &str) -> bool {
    text.starts_with("<|") && text.ends_with("|>")
        || text.starts_with("<\u{FF5C}") && text.ends_with("\u{FF5C}>")
        || ["<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"].contains(&text)
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

    fn new<'e>(entries: impl Iterator<Item = &'e Entry<'e>>) -> Result<Self, TokenizerError> {
        let (tokens, texts): (Vec<u32>, Vec<&str>) =
            entries.map(|entry| (entry.token, &*entry.text)).unzip();
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
