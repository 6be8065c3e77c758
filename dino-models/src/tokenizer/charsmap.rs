//! The normalisation that a SentencePiece model carries (`tokenizer.ggml.precompiled_charsmap`).
//!
//! A table from texts to their normal forms, most often NFKC with changes of SentencePiece's own. It is a double-array
//! trie (Aoe, 1989) as darts-clone lays it out, then the normal forms, each ended by a zero byte. At every place of a
//! text the longest entry wins.

use super::TokenizerError;

/// Entries and their forms are short; a damaged trie must not make a walk as long as the text, nor each letter a book.
const LONGEST_ENTRY: usize = 256;

#[derive(Debug)]
pub(super) struct Charsmap {
    units: Vec<Unit>,
    /// The normal forms.
    texts: String,
}

/// A node of the double array.
#[derive(Clone, Copy, Debug)]
struct Unit(u32);

impl Unit {
    /// Whether an entry ends here: its value is at the unit that the offset leads to.
    fn ends_entry(self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn value(self) -> usize {
        (self.0 & 0x7fff_ffff) as usize
    }

    /// The byte that leads here; more than a byte for units that no byte leads to.
    fn label(self) -> u32 {
        self.0 & 0x8000_00ff
    }

    fn offset(self) -> usize {
        let wide = (self.0 >> 9 & 1) * 8;
        (self.0 >> 10 << wide) as usize
    }
}

impl Charsmap {
    /// Reads the table.
    ///
    /// # Errors
    /// [`TokenizerError::InvalidCharsmap`].
    pub(super) fn new(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let invalid = |reason| TokenizerError::InvalidCharsmap { reason };
        let (size, rest) = bytes
            .split_first_chunk::<4>()
            .ok_or(invalid("it has no header"))?;
        let (trie, texts) = rest
            .split_at_checked(u32::from_le_bytes(*size) as usize)
            .ok_or(invalid("its trie is longer than the whole table"))?;
        let (units, odd) = trie.as_chunks::<4>();
        if units.is_empty() || !odd.is_empty() {
            return Err(invalid("its trie is empty or ends inside a unit"));
        }
        let texts = std::str::from_utf8(texts).map_err(|_| invalid("its texts are not UTF-8"))?;
        let unit = |bytes: &[u8; 4]| Unit(u32::from_le_bytes(*bytes));
        Ok(Self {
            units: units.iter().map(unit).collect(),
            texts: texts.to_owned(),
        })
    }

    /// The longest entry that `text` begins with: its length and its normal form.
    pub(super) fn longest_prefix(&self, text: &str) -> Option<(usize, &str)> {
        self.prefix(text, false)
    }

    /// The normal form of the shortest entry that `text` begins with.
    pub(super) fn shortest_prefix(&self, text: &str) -> Option<&str> {
        self.prefix(text, true).map(|(_, form)| form)
    }

    fn prefix(&self, text: &str, shortest: bool) -> Option<(usize, &str)> {
        let mut found = None;
        let mut node = self.units.first()?.offset();
        for (index, byte) in text.bytes().take(LONGEST_ENTRY).enumerate() {
            node ^= usize::from(byte);
            let Some(unit) = self.units.get(node).copied() else {
                break;
            };
            if unit.label() != u32::from(byte) {
                break;
            }
            node ^= unit.offset();
            if unit.ends_entry()
                && text.is_char_boundary(index + 1)
                && let Some(form) = self
                    .units
                    .get(node)
                    .and_then(|leaf| self.form(leaf.value()))
            {
                found = Some((index + 1, form));
                if shortest {
                    break;
                }
            }
        }
        found
    }

    fn form(&self, start: usize) -> Option<&str> {
        let form = self.texts.get(start..)?.split('\0').next()?;
        (form.len() <= LONGEST_ENTRY).then_some(form)
    }
}
