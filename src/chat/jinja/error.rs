//! What can go wrong with a template.

/// Why a chat template was refused or could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The source is larger than any real template.
    #[error(
        "the chat template has {bytes} bytes, more than {limit}; supply a template of your own"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest accepted size.
        limit: usize,
    },
    /// The source is no template of this language.
    #[error("chat template, line {line}: {message}")]
    Syntax {
        /// Where, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// Expressions, statements, values or macro calls are nested too deeply.
    #[error(
        "chat template, line {line}: nested more than {limit} levels deep; supply a template of your own"
    )]
    TooDeep {
        /// Where, from 1.
        line: u32,
        /// The greatest accepted depth.
        limit: usize,
    },
    /// Rendering takes more steps or memory than the size of the conversation can explain.
    #[error(
        "chat template, line {line}: rendering exceeds {limit} steps; the template loops or its text grows without end"
    )]
    TooMuchWork {
        /// Where, from 1.
        line: u32,
        /// The budget, in steps.
        limit: u64,
    },
    /// The template itself refused the conversation, through `raise_exception`.
    #[error("the chat template refused the conversation: {message}")]
    Raised {
        /// The template's own words.
        message: String,
    },
    /// The template did something that Python would not do either.
    #[error("chat template, line {line}: {message}")]
    Render {
        /// Where, from 1.
        line: u32,
        /// What went wrong.
        message: String,
    },
}

/// A failure on its way up to the statement that knows its line.
#[derive(Debug)]
pub(super) enum Fault {
    Raised(String),
    Work,
    Depth,
    Other(String),
}

/// What rendering steps return.
pub(super) type Outcome<T> = Result<T, Fault>;

/// A [`Fault::Other`] with a formatted message.
macro_rules! fault {
    ($($message:tt)*) => {
        Err($crate::chat::jinja::error::Fault::Other(format!($($message)*)))
    };
}
pub(super) use fault;
