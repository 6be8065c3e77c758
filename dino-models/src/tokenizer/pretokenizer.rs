//! Cuts plain text into the words within which letters are merged.

use std::ops::Range;

use regex_automata::meta::Regex;
use regex_automata::{Input, PatternID};

use super::TokenizerError;
use super::characters::DIGITS;
use super::recipes::{Cut, Digits, RECIPES, Recipe, Spaces};

/// A named way to cut text into words, such as `llama-bpe`. Linear in the text.
#[derive(Debug)]
pub struct PreTokenizer {
    cuts: Vec<Cutter>,
    whole_words: bool,
    add_bos: bool,
    add_eos: bool,
}

#[derive(Debug)]
pub(super) struct Cutter {
    regex: Regex,
    /// What white space is cut into.
    spaces: Spaces,
    digits: Digits,
    /// The pattern for white space whose last character belongs to the next word.
    leave_last: Option<PatternID>,
}

/// The name of the pre-tokenizer that cuts by these patterns, as a `tokenizer.json` writes them, one after another.
pub(super) fn name_of(patterns: &[String], whole_words: bool) -> Option<&'static str> {
    let found = RECIPES.iter().find(|recipe| {
        recipe.whole_words == whole_words
            && recipe.cuts.iter().map(pattern).eq(patterns.iter().cloned())
    });
    found.and_then(|recipe| recipe.names.first().copied())
}

/// A cut as one pattern with backtracking, its characters spelt out.
fn pattern(cut: &Cut) -> String {
    if cut.digits != Digits::Ignore || cut.spaces == Spaces::PowersOfTwo {
        return String::new();
    }
    let mut pattern = cut.alternatives.join("|");
    if cut.spaces == Spaces::LeaveLast {
        pattern += r"|\s+(?!\S)|\s+";
    }
    let mut parts = pattern.split(r"\u{");
    let mut spelt = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('}').unwrap_or_default();
        let character = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
        spelt.extend(character);
        spelt += rest;
    }
    spelt
}

impl PreTokenizer {
    /// The pre-tokenizer that goes by `name` in `tokenizer.ggml.pre`.
    ///
    /// # Errors
    /// The name is not one of [`PreTokenizer::names`].
    pub fn new(name: &str) -> Result<Self, TokenizerError> {
        let unknown = || TokenizerError::UnknownPreTokenizer {
            found: name.to_owned(),
            known: Self::names().collect(),
        };
        let recipe = RECIPES
            .iter()
            .find(|recipe| recipe.names.contains(&name))
            .ok_or_else(unknown)?;
        Ok(Self::from_recipe(recipe))
    }

    /// The names that are known.
    pub fn names() -> impl Iterator<Item = &'static str> {
        RECIPES.iter().flat_map(|recipe| recipe.names).copied()
    }

    /// The words of `text`, in order; concatenated, they are `text`.
    pub fn split<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut words = vec![text];
        for cutter in &self.cuts {
            let mut pieces = Vec::with_capacity(words.len() * 2);
            for word in words {
                cutter.split(word, &mut pieces);
            }
            words = pieces;
        }
        words
    }

    /// Whether a word that is a token is that token, whatever the merges say.
    pub(super) fn whole_words(&self) -> bool {
        self.whole_words
    }

    /// Whether texts begin with a token where the file does not say.
    pub(super) fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// Whether texts end with a token where the file does not say.
    pub(super) fn add_eos(&self) -> bool {
        self.add_eos
    }

    fn from_recipe(recipe: &Recipe) -> Self {
        PreTokenizer {
            cuts: recipe.cuts.iter().map(Cutter::new).collect(),
            whole_words: recipe.whole_words,
            add_bos: recipe.add_bos,
            add_eos: recipe.add_eos,
        }
    }
}

/// The largest program that a pattern of a file may become, in bytes.
const LARGEST_PROGRAM: usize = 4 << 20;

/// How patterns end that leave the last character of white space to the next word.
const LEAVE_LAST: &str = r"|\s+(?!\S)|\s+";

impl Cutter {
    /// The cutter of a pattern as a `tokenizer.json` writes it. What only backtracking could match is refused, except for
    /// the usual ending; so are patterns that match nothing at all.
    pub(super) fn from_pattern(pattern: &str) -> Option<Self> {
        let plain = pattern.strip_suffix(LEAVE_LAST);
        let mut patterns = vec![plain.unwrap_or(pattern)];
        let hir = regex_syntax::parse(patterns[0]).ok()?;
        hir.properties()
            .minimum_len()
            .filter(|&shortest| shortest > 0)?;
        patterns.extend(plain.map(|_| r"\s+"));
        let limits = Regex::config()
            .nfa_size_limit(Some(LARGEST_PROGRAM))
            .onepass_size_limit(Some(LARGEST_PROGRAM));
        let regex = Regex::builder()
            .configure(limits)
            .build_many(&patterns)
            .ok()?;
        Some(Self {
            regex,
            spaces: plain.map_or(Spaces::Ignore, |_| Spaces::LeaveLast),
            digits: Digits::Ignore,
            leave_last: plain.map(|_| PatternID::must(1)),
        })
    }

    fn new(cut: &Cut) -> Self {
        let mut patterns = cut.alternatives.to_vec();
        let cuts_spaces = cut.spaces != Spaces::Ignore;
        if cuts_spaces {
            patterns.push(r"\s+");
        }
        Cutter {
            // The patterns are constants of this crate, each compiled by a test.
            regex: Regex::new_many(&patterns)
                .expect("the table of pre-tokenizers holds valid patterns"),
            leave_last: cuts_spaces.then(|| PatternID::must(patterns.len() - 1)),
            spaces: cut.spaces,
            digits: cut.digits,
        }
    }

    fn split<'t>(&self, text: &'t str, pieces: &mut Vec<&'t str>) {
        let mut push = |piece: &'t str| {
            if !piece.is_empty() {
                pieces.push(piece);
            }
        };
        let mut start = 0;
        if self.digits != Digits::Ignore {
            for cut in digit_cuts(text, self.digits) {
                push(&text[start..cut]);
                start = cut;
            }
        }
        while let Some(found) = self.next(text, start) {
            push(&text[start..found.start]);
            push(&text[found.clone()]);
            start = found.end;
        }
        push(&text[start..]);
    }

    /// The first match at or behind `start`.
    pub(super) fn next(&self, text: &str, start: usize) -> Option<Range<usize>> {
        let found = self.regex.search(&Input::new(text).range(start..))?;
        let end = match Some(found.pattern()) == self.leave_last {
            true if self.spaces == Spaces::PowersOfTwo => power_of_two(text, found.range()),
            true => leave_last(text, found.range()),
            false => found.end(),
        };
        Some(found.start()..end)
    }
}

/// Where a run of white space ends if its last character belongs to the word after it.
fn leave_last(text: &str, run: Range<usize>) -> usize {
    let last = text[run.clone()]
        .char_indices()
        .next_back()
        .map_or(0, |(offset, _)| offset);
    if run.end < text.len() && last > 0 {
        run.start + last
    } else {
        run.end
    }
}

/// As [`leave_last`], and at most as many characters as the largest power of two up to 512.
fn power_of_two(text: &str, run: Range<usize>) -> usize {
    const LARGEST: usize = 512;
    let end = leave_last(text, run.clone());
    let count = text[run.start..end].chars().take(LARGEST).count();
    let kept = 1 << count.max(1).ilog2();
    let mut after = text[run.start..end].char_indices().skip(kept);
    after.next().map_or(end, |(offset, _)| run.start + offset)
}

/// Where the grouping of digits cuts `text`: ascending, neither at its start nor at its end.
fn digit_cuts(text: &str, digits: Digits) -> Vec<usize> {
    let mut cuts = Vec::new();
    let mut from = 0;
    while let Some(first) = text[from..].find(|c| DIGITS.contains(c)) {
        let first = from + first;
        let run = &text[first..];
        let run = &run[..run.find(|c| !DIGITS.contains(c)).unwrap_or(run.len())];
        from = first + run.len();
        let ends_word = !text[from..].starts_with(regex_syntax::is_word_character);
        if digits == Digits::ThreesOfWords && !ends_word {
            continue;
        }
        let count = run.chars().count();
        let places = (0..count).zip(run.char_indices());
        let of_three = places.filter(|(index, _)| (count - index).is_multiple_of(3));
        let before = (digits == Digits::ThreesOfWords).then_some(first);
        cuts.extend(before);
        cuts.extend(of_three.map(|(_, (at, _))| first + at));
        cuts.extend((digits == Digits::ThreesOfWords).then_some(from));
    }
    cuts.retain(|&cut| cut > 0 && cut < text.len());
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_loses_nothing() {
        let text = "I'LL  say:\r\n\n  12345 caf\u{e9}s, \u{4f60}\u{597d}!\t\u{a0}\u{1f600}  ";
        for name in PreTokenizer::names() {
            let words = PreTokenizer::new(name).unwrap().split(text);
            assert_eq!(words.concat(), text, "{name}");
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = PreTokenizer::names().collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn white_space_leaves_its_last_character_to_the_next_word() {
        let split = |text| PreTokenizer::new("gpt-2").unwrap().split(text);
        assert_eq!(split("a   b"), ["a", "  ", " b"]);
        assert_eq!(split("a\n\nb  "), ["a", "\n", "\n", "b", "  "]);
        let split = |text| PreTokenizer::new("llama-bpe").unwrap().split(text);
        assert_eq!(
            split("a \n\n  b 1234"),
            ["a", " \n\n", " ", " b", " ", "123", "4"]
        );
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let error = PreTokenizer::new("nobody").unwrap_err().to_string();
        assert!(
            error.contains("nobody") && error.contains("llama-bpe"),
            "{error}"
        );
    }
}
