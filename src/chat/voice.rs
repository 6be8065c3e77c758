//! What runs the model for a conversation.

use std::path::Path;

use crate::{
    CancelToken, Completion, Engine, EngineStream, FinishReason, Generator, Model, Request, Result,
    Stats, Token, TokenStream, Usage,
};

/// What runs the model for a conversation.
#[derive(Debug)]
pub(super) enum Voice {
    /// A generator of its own.
    Own(Generator),
    /// An engine, which others use as well.
    Shared(Engine),
}

impl Voice {
    pub(super) fn own(model: &Model) -> Self {
        Self::Own(Generator::new(model))
    }

    pub(super) fn model(&self) -> &Model {
        match self {
            Self::Own(generator) => generator.model(),
            Self::Shared(engine) => engine.model(),
        }
    }

    pub(super) fn start(&mut self, request: Request) -> Result<VoiceStream> {
        Ok(match self {
            Self::Own(generator) => VoiceStream::Own(Box::new(generator.start(request)?)),
            Self::Shared(engine) => VoiceStream::Shared(Box::new(engine.submit(request)?)),
        })
    }

    /// Writes a note, and what it remembers, to a file.
    pub(super) fn save(&self, note: &[u8], path: &Path) -> Result<()> {
        match self {
            Self::Own(generator) => generator.save_with(note, path),
            Self::Shared(engine) => Generator::new(engine.model()).save_with(note, path),
        }
    }

    /// The same kind of voice as another one was when it was saved, and the note.
    pub(super) fn restored(&self, path: &Path) -> Result<(Self, Vec<u8>)> {
        let mut generator = Generator::new(self.model());
        let note = generator.restore_with(path)?;
        let voice = match self {
            Self::Own(_) => Self::Own(generator),
            Self::Shared(engine) => Self::Shared(engine.clone()),
        };
        Ok((voice, note))
    }
}

/// The tokens of an answer, whoever generates them.
#[derive(Debug)]
pub(super) enum VoiceStream {
    Own(Box<TokenStream>),
    Shared(Box<EngineStream>),
}

/// Calls the method of whichever it is.
macro_rules! either {
    ($stream:expr, $tokens:ident => $call:expr) => {
        match $stream {
            VoiceStream::Own($tokens) => $call,
            VoiceStream::Shared($tokens) => $call,
        }
    };
}

impl VoiceStream {
    pub(super) fn cancel_token(&self) -> CancelToken {
        either!(self, tokens => tokens.cancel_token())
    }

    pub(super) fn finish_reason(&self) -> Option<FinishReason> {
        either!(self, tokens => tokens.finish_reason())
    }

    pub(super) fn usage(&self) -> Usage {
        either!(self, tokens => tokens.usage())
    }

    pub(super) fn stats(&self) -> Stats {
        either!(self, tokens => tokens.stats())
    }

    pub(super) fn text(&self) -> &str {
        either!(self, tokens => tokens.text())
    }

    pub(super) fn complete(&mut self) -> Result<Completion> {
        either!(self, tokens => tokens.complete())
    }

    pub(super) fn next(&mut self) -> Option<Result<Token>> {
        either!(self, tokens => tokens.next())
    }
}
