//! What can be wrong with a grammar.

/// Why a grammar was refused, or could not be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// The grammar is larger than is taken.
    #[error("the {kind} has {bytes} bytes, at most {limit} are taken")]
    TooLarge {
        /// Which kind of grammar.
        kind: &'static str,
        /// Its size.
        bytes: usize,
        /// What is taken.
        limit: usize,
    },
    /// The grammar is nested deeper than is taken.
    #[error("the {kind} is nested deeper than {limit} levels")]
    TooDeep {
        /// Which kind of grammar.
        kind: &'static str,
        /// What is taken.
        limit: usize,
    },
    /// A list of choices is empty.
    #[error("there is nothing to choose from: give at least one choice")]
    NoChoices,
    /// A grammar in GBNF is not well formed.
    #[error("line {line} of the GBNF grammar: {message}")]
    Gbnf {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The grammar is not well formed, asks for what is not supported, matches nothing, or is too much work.
    #[error("the {kind} cannot be used: {message}")]
    Invalid {
        /// Which kind of grammar.
        kind: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The vocabulary has no token that ends a text, so that nothing could end where the grammar does.
    #[error("the model's vocabulary has no token that ends a text; a grammar needs one")]
    NoEnd,
    /// The grammar's state became too large at this token, or the token is not of the grammar.
    #[error("the grammar cannot go on after {tokens} tokens: {message}")]
    Stuck {
        /// Tokens generated before.
        tokens: usize,
        /// Why.
        message: String,
    },
}
