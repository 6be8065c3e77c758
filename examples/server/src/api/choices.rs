//! Several streams of tokens as one.

use std::pin::Pin;
use std::task::{Context, Poll};

use dino_llm::{EngineStream, Error, FinishReason, Token, Usage};
use futures_util::Stream;
use futures_util::stream::SelectAll;

/// The tokens of all answers to a request, each with its place, as they come. Dropping it cancels them all.
pub(super) type Choices = SelectAll<Choice>;

/// The tokens of one answer.
pub(super) struct Choice {
    index: usize,
    stream: Option<EngineStream>,
}

/// What happens to an answer.
pub(super) enum Event {
    Token(Token),
    End(End),
    Failed(Error),
}

/// How an answer ended.
pub(super) struct End {
    pub(super) finish_reason: FinishReason,
    pub(super) usage: Usage,
    /// Tokens guessed ahead, and those of them that were right.
    pub(super) guessed: (usize, usize),
}

/// Joins streams in the order of their places.
pub(super) fn join(streams: Vec<EngineStream>) -> Choices {
    let choice = |(index, stream)| Choice {
        index,
        stream: Some(stream),
    };
    streams.into_iter().enumerate().map(choice).collect()
}

impl Stream for Choice {
    type Item = (usize, Event);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let index = self.index;
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        let event = match Pin::new(&mut *stream).poll_next(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(token))) => Event::Token(token),
            Poll::Ready(Some(Err(error))) => Event::Failed(error),
            Poll::Ready(None) => {
                let stats = stream.stats();
                Event::End(End {
                    finish_reason: stream.finish_reason().unwrap_or(FinishReason::Failed),
                    usage: stream.usage(),
                    guessed: (stats.drafted_tokens, stats.accepted_tokens),
                })
            }
        };
        if !matches!(event, Event::Token(_)) {
            self.stream = None;
        }
        Poll::Ready(Some((index, event)))
    }
}
