//! The generator.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::sequence::Sequence;
use super::{Completion, Prompt, Request, TokenStream};
use crate::{Model, Result, SamplingParams};

/// Generates text with a model, one text at a time.
///
/// It remembers the last text: what the next prompt has in common with its beginning is not run again, so that each
/// turn of a conversation costs its own tokens only.
///
/// ```no_run
/// use dino_llm::{Generator, Model, SamplingParams};
///
/// let model = Model::load("model.gguf")?;
/// let mut generator = Generator::new(&model);
/// let params = SamplingParams::default().with_max_tokens(64);
/// for token in generator.stream("Once upon a time", &params)? {
///     print!("{}", token?.text);
/// }
/// # Ok::<(), dino_llm::Error>(())
/// ```
pub struct Generator {
    model: Model,
    home: Home,
}

/// Where a sequence lives between generations; a stream takes it along and brings it back when it ends.
pub(super) type Home = Arc<Mutex<Option<Box<Sequence>>>>;

impl Generator {
    /// A generator that has seen nothing yet.
    pub fn new(model: &Model) -> Self {
        Self {
            model: model.clone(),
            home: Home::default(),
        }
    }

    /// The model it generates with.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Generates a whole text.
    ///
    /// # Errors
    /// As those of [`Self::start`]; what the forward pass and the sampler report.
    pub fn generate(
        &mut self,
        prompt: impl Into<Prompt>,
        params: &SamplingParams,
    ) -> Result<Completion> {
        self.stream(prompt, params)?.into_completion()
    }

    /// Generates a text token by token.
    ///
    /// # Errors
    /// As those of [`Self::start`].
    pub fn stream(
        &mut self,
        prompt: impl Into<Prompt>,
        params: &SamplingParams,
    ) -> Result<TokenStream> {
        self.start(Request::new(prompt, params))
    }

    /// Begins what `request` asks for; nothing is run before the stream is asked for a token.
    ///
    /// While a stream of this generator lives, a further one finds nothing remembered.
    ///
    /// # Errors
    /// [`Error::Sampling`](crate::Error::Sampling) for impossible parameters; [`Error::Tokenizer`](crate::Error::Tokenizer);
    /// [`Error::EmptyPrompt`](crate::Error::EmptyPrompt);
    /// [`ModelError::ContextOverflow`](dino_models::ModelError::ContextOverflow) if the prompt leaves no room for a token.
    pub fn start(&mut self, request: Request) -> Result<TokenStream> {
        TokenStream::new(self, request)
    }

    /// Writes what it remembers of the last text to a file, so that [`Self::restore`] can go on from it in another
    /// process. The file takes its place when it is complete and on the disk.
    ///
    /// Pages are written whole: behind the last token they may hold keys and values of earlier texts of this generator.
    ///
    /// # Errors
    /// [`SavedError`](dino_models::SavedError) if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(&[], path.as_ref())
    }

    /// Remembers what [`Self::save`] wrote, instead of what it remembered: what the next prompt has in common with it
    /// is not run again.
    ///
    /// # Errors
    /// [`SavedError`](dino_models::SavedError) if the file was saved with another model or type of cache, or is damaged.
    /// Then nothing has changed.
    pub fn restore(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.restore_with(path.as_ref()).map(drop)
    }

    pub(crate) fn save_with(&self, note: &[u8], path: &Path) -> Result<()> {
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        match &*home {
            Some(sequence) => sequence.save(&self.model, note, path),
            None => Sequence::new(&self.model).save(&self.model, note, path),
        }
    }

    /// As [`Self::restore`]; gives the note that was saved.
    pub(crate) fn restore_with(&mut self, path: &Path) -> Result<Vec<u8>> {
        let (sequence, note) = Sequence::restore(&self.model, path)?;
        self.return_sequence(Box::new(sequence));
        Ok(note)
    }

    /// Forgets the last text and gives its memory back.
    pub fn clear(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    pub(super) fn take_sequence(&mut self) -> Box<Sequence> {
        let taken = self
            .home
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        taken.unwrap_or_else(|| Box::new(Sequence::new(&self.model)))
    }

    pub(super) fn return_sequence(&mut self, sequence: Box<Sequence>) {
        return_to(&self.home, sequence);
    }
}

pub(super) fn return_to(home: &Home, sequence: Box<Sequence>) {
    *home.lock().unwrap_or_else(PoisonError::into_inner) = Some(sequence);
}

impl fmt::Debug for Generator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Generator")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}
