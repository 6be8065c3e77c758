//! Byte-pair merging: join the best pair of neighbours until no pair can be joined.
//!
//! Both kinds of vocabulary do this; they differ in what a pair is worth (its rank in a list of merges, or the score
//! of the token that it gives). Candidates wait in a heap, symbols are a linked list, and a candidate whose symbols
//! have changed since is recognised by its extent; so n symbols cost O(n log n), where searching the best pair anew
//! would cost O(n²) on a long run of one letter.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The id of a symbol that is no token.
pub(super) const NO_TOKEN: u32 = u32::MAX;
const END: u32 = u32::MAX;

/// A run of the text, at first a character or byte, that is or will be a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    /// Offset of the first byte.
    pub(super) start: u32,
    /// Offset after the last byte; equal to `start` once the symbol is part of its left neighbour.
    pub(super) end: u32,
    /// Its token, or [`NO_TOKEN`].
    pub(super) token: u32,
    previous: u32,
    next: u32,
}

/// What joining two symbols gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joined {
    /// The lower, the sooner the pair is joined; equal ones from left to right.
    pub(super) order: u32,
    /// The token of both together.
    pub(super) token: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    order: u32,
    left: u32,
    right: u32,
    end: u32,
    token: u32,
}

/// Merges the symbols of one word after another, in buffers that it keeps.
#[derive(Debug, Default)]
pub(super) struct Merger {
    symbols: Vec<Symbol>,
    candidates: BinaryHeap<Reverse<Candidate>>,
}

impl Merger {
    /// Begins a new word.
    pub(super) fn clear(&mut self) {
        self.symbols.clear();
        self.candidates.clear();
    }

    /// Adds a symbol at the end of the word.
    pub(super) fn push(&mut self, start: u32, end: u32, token: u32) {
        let index = self.symbols.len() as u32;
        if let Some(last) = self.symbols.last_mut() {
            last.next = index;
        }
        self.symbols.push(Symbol {
            start,
            end,
            token,
            previous: index.checked_sub(1).unwrap_or(END),
            next: END,
        });
    }

    /// Joins pairs, best first, and gives the symbols that remain. `join` says what a pair gives, if anything.
    pub(super) fn merge(
        &mut self,
        join: impl Fn(&Symbol, &Symbol) -> Option<Joined>,
    ) -> impl Iterator<Item = &Symbol> {
        for left in 0..self.symbols.len().saturating_sub(1) {
            self.consider(left as u32, &join);
        }
        while let Some(Reverse(best)) = self.candidates.pop() {
            if self.is_current(&best) {
                self.apply(&best);
                self.consider(self.symbols[best.left as usize].previous, &join);
                self.consider(best.left, &join);
            }
        }
        self.symbols
            .iter()
            .filter(|symbol| symbol.start < symbol.end)
    }

    /// Makes a candidate of the symbol `left` and its right neighbour, if both exist and can be joined.
    fn consider(&mut self, left: u32, join: impl Fn(&Symbol, &Symbol) -> Option<Joined>) {
        let Some(first) = self.symbols.get(left as usize) else {
            return;
        };
        let right = first.next;
        let Some(second) = self.symbols.get(right as usize) else {
            return;
        };
        if let Some(joined) = join(first, second) {
            self.candidates.push(Reverse(Candidate {
                order: joined.order,
                left,
                right,
                end: second.end,
                token: joined.token,
            }));
        }
    }

    /// Whether both symbols are still what they were. The left one begins where it began and can only have grown by
    /// swallowing the right one; the right one shows by its end whether it has grown.
    fn is_current(&self, candidate: &Candidate) -> bool {
        let left = &self.symbols[candidate.left as usize];
        let right = &self.symbols[candidate.right as usize];
        left.start < left.end && right.start < right.end && right.end == candidate.end
    }

    fn apply(&mut self, best: &Candidate) {
        let right = &mut self.symbols[best.right as usize];
        let next = right.next;
        right.end = right.start;
        let left = &mut self.symbols[best.left as usize];
        left.end = best.end;
        left.token = best.token;
        left.next = next;
        if let Some(after) = self.symbols.get_mut(next as usize) {
            after.previous = best.left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: look for the best pair, leftmost among equals, join it, begin anew.
    fn merge_naively(word: &[u8], pairs: &[((u32, u32), Joined)]) -> Vec<u32> {
        let mut tokens: Vec<u32> = word.iter().copied().map(u32::from).collect();
        let join = |pair: &[u32]| find(pairs, pair[0], pair[1]);
        loop {
            let candidates = tokens
                .windows(2)
                .enumerate()
                .filter_map(|(at, pair)| Some((join(pair)?, at)));
            let Some((best, at)) = candidates.min_by_key(|(joined, at)| (joined.order, *at)) else {
                return tokens;
            };
            tokens.splice(at..at + 2, [best.token]);
        }
    }

    fn find(pairs: &[((u32, u32), Joined)], left: u32, right: u32) -> Option<Joined> {
        pairs
            .iter()
            .find(|(pair, _)| *pair == (left, right))
            .map(|(_, joined)| *joined)
    }

    proptest! {
        /// Few tokens and many equal ranks, so that pairs overlap and tie.
        #[test]
        fn the_heap_joins_what_the_definition_joins(
            word in prop::collection::vec(0_u8..4, 0..40),
            rules in prop::collection::vec(((0_u32..9, 0_u32..9), 0_u32..6), 0..12),
        ) {
            let joined = |(index, (pair, order))| (pair, Joined { order, token: 4 + index as u32 });
            let pairs: Vec<_> = rules.into_iter().enumerate().map(joined).collect();
            let mut merger = Merger::default();
            for (start, &byte) in (0..).zip(&word) {
                merger.push(start, start + 1, u32::from(byte));
            }
            let join = |left: &Symbol, right: &Symbol| find(&pairs, left.token, right.token);
            let merged: Vec<u32> = merger.merge(join).map(|symbol| symbol.token).collect();
            prop_assert_eq!(merged, merge_naively(&word, &pairs));
        }
    }
}
