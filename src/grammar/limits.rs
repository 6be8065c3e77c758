//! How much grammar is taken.

use llguidance::api::ParserLimits;
use serde_json::Value as Json;

use super::GrammarError;

/// Bytes of a schema or a list of choices.
pub(super) const MOST_BYTES: usize = 256 << 10;

/// Bytes of a Lark or GBNF grammar. The worst of this size found took a few seconds on a busy machine.
pub(super) const MOST_GRAMMAR: usize = 64 << 10;

/// Bytes of a regular expression. The worst of this size found took two seconds on a busy machine.
pub(super) const MOST_REGEX: usize = 16 << 10;

/// Levels of brackets in a grammar's text, or of a schema.
const MOST_DEPTH: usize = 64;

/// A stack for compiling: the grammars' engine follows references from rule to rule by recursion. It is address space
/// rather than memory, most of which is never touched.
pub(super) const STACK_BYTES: usize = 256 << 20;

/// The work that the grammars' engine may do, an order of magnitude below its defaults: those let one request hold a
/// processor for seconds.
pub(super) fn parser_limits() -> ParserLimits {
    ParserLimits {
        initial_lexer_fuel: 500_000,
        max_grammar_size: 200_000,
        max_lexer_states: 50_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

pub(super) fn check_text(kind: &'static str, text: &str, limit: usize) -> Result<(), GrammarError> {
    check_size(kind, text.len(), limit)?;
    let mut depth = 0usize;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        check_depth(kind, depth)?;
    }
    Ok(())
}

pub(super) fn check_json(kind: &'static str, json: &Json) -> Result<(), GrammarError> {
    // The depth first: writing a deep value out is recursive too.
    let mut open = vec![(json, 0)];
    let mut bytes = 0usize;
    while let Some((value, depth)) = open.pop() {
        check_depth(kind, depth)?;
        match value {
            Json::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Json::Object(fields) => {
                bytes += fields.keys().map(|key| key.len() + 4).sum::<usize>();
                open.extend(fields.values().map(|item| (item, depth + 1)));
            }
            Json::String(text) => bytes += text.len(),
            _ => {}
        }
        bytes += 4;
        check_size(kind, bytes, MOST_BYTES)?;
    }
    Ok(())
}

pub(super) fn check_size(
    kind: &'static str,
    bytes: usize,
    limit: usize,
) -> Result<(), GrammarError> {
    if bytes > limit {
        return Err(GrammarError::TooLarge { kind, bytes, limit });
    }
    Ok(())
}

fn check_depth(kind: &'static str, depth: usize) -> Result<(), GrammarError> {
    let limit = MOST_DEPTH;
    if depth > limit {
        return Err(GrammarError::TooDeep { kind, limit });
    }
    Ok(())
}
