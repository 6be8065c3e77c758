//! What goes wrong in an engine alone.

/// Why an engine did not take a request or did not finish it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// As many requests wait as may. Try again later, or raise
    /// [`EngineOptions::max_queue`](crate::EngineOptions::max_queue).
    #[error(
        "the engine is busy: {waiting} requests are waiting, its queue takes {limit}; try again later"
    )]
    Busy {
        /// Requests that wait.
        waiting: usize,
        /// Requests that may wait.
        limit: usize,
    },
    /// The engine was dropped, shut down, or is draining.
    #[error("the engine has stopped")]
    Stopped,
    /// A processor or callback of this request panicked; other requests go on.
    #[error("a processor or callback of the request panicked: {message}")]
    ProcessorPanicked {
        /// What it said.
        message: String,
    },
    /// The forward pass panicked, which fails all requests that it ran; the engine goes on.
    #[error("the forward pass panicked: {message}")]
    ModelPanicked {
        /// What it said.
        message: String,
    },
    /// The forward pass that this request shared with others failed; one of them was given the error itself.
    #[error("the step of the request failed: {message}")]
    StepFailed {
        /// What the error said.
        message: String,
    },
    /// A draft model has another vocabulary than the model.
    #[error(
        "the draft model's vocabulary has {found} tokens, the model's has {expected}: it has to be the same one"
    )]
    DraftVocabulary {
        /// Tokens of the draft model.
        found: usize,
        /// Tokens of the model.
        expected: usize,
    },
    /// The system gave the engine no thread.
    #[error("the engine's thread cannot be started: {message}")]
    NoThread {
        /// What the system said.
        message: String,
    },
}
