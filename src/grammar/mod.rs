//! Output that follows a grammar: JSON, JSON Schema, regular expressions, choices, Lark and GBNF.
//!
//! A [`Grammar`] is what is wanted, a [`GrammarCompiler`] knows a model's vocabulary and makes a [`Constraint`] of it, and
//! that is a [`LogitsProcessor`](crate::LogitsProcessor): at each token it masks what cannot come next. The grammars'
//! engine is the `llguidance` crate (an Earley parser over a lexer of derivatives, walking a trie of the vocabulary).
//!
//! Grammars may come from strangers. Their size, nesting, the time to compile them and the time of each mask are bounded,
//! and compiling runs on a stack of its own.

mod compiler;
mod constraint;
mod error;
mod gbnf;
mod limits;
mod source;
mod vocabulary;

pub use compiler::GrammarCompiler;
pub use constraint::Constraint;
pub use error::GrammarError;
pub use source::Grammar;
