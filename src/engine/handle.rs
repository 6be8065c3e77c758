//! The engine as programs hold it.

use std::cmp::Reverse;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::channel::channel;
use super::job::{Job, Ticket};
use super::metrics::EngineMetrics;
use super::options::Limits;
use super::record::Recorder;
use super::worker::{Message, Worker};
use super::{EngineError, EngineOptions, EngineStream, Speculation};
use crate::generator::continuation::Continuation;
use crate::{ChatSession, Completion, Model, Request, Result};

/// Runs many requests together with one model, on a thread of its own.
///
/// Requests join and leave at any time: each step of the model takes one token of every running text and a piece of
/// every new prompt. A request's text is the one it would get alone, to the bit.
///
/// Clones are one engine. When the last is dropped it stops, and what still runs ends with [`EngineError::Stopped`];
/// [`Self::drain`] finishes that first. While there is nothing to do the engine sleeps.
///
/// ```no_run
/// use dino_llm::{Engine, EngineOptions, Model, Request, SamplingParams};
///
/// let model = Model::load("model.gguf")?;
/// let engine = Engine::new(&model, EngineOptions::default())?;
/// let params = SamplingParams::default().with_max_tokens(64);
///
/// // From any thread, as many as you like:
/// for token in engine.submit(Request::new("Once upon a time", &params))? {
///     print!("{}", token?.text);
/// }
///
/// // Or many at once:
/// let prompts = ["The capital of France is", "Water boils at"];
/// let requests = prompts.map(|prompt| Request::new(prompt, &params));
/// for completion in engine.generate_batch(requests) {
///     println!("{}", completion?.text);
/// }
/// # Ok::<(), dino_llm::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine(Arc<Handle>);

struct Handle {
    model: Model,
    limits: Limits,
    metrics: EngineMetrics,
    inbox: Sender<Message>,
    queued: Arc<AtomicUsize>,
    arrivals: AtomicU64,
    is_closed: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Starts an engine.
    ///
    /// # Errors
    /// [`EngineError::NoThread`].
    pub fn new(model: &Model, options: EngineOptions) -> Result<Self> {
        let limits = Limits::new(model, &options);
        let (inbox, messages) = mpsc::channel();
        let page_bytes = model.new_cache().layout().page_bytes();
        let metrics = EngineMetrics::new(limits.pages, page_bytes);
        let recorder = Recorder::new(metrics.clone(), &options.powercap);
        let worker = Worker::new(model, limits, messages, recorder);
        let thread = thread::Builder::new()
            .name("dino-engine".into())
            .spawn(move || worker.work())
            .map_err(|error| EngineError::NoThread {
                message: error.to_string(),
            })?;
        Ok(Self(Arc::new(Handle {
            model: model.clone(),
            limits,
            metrics,
            inbox,
            queued: Arc::default(),
            arrivals: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// The model it generates with.
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// Tokens that prompt and answer may have together: the model's context, or what the whole cache holds if that is
    /// less.
    pub fn context_length(&self) -> usize {
        self.0.limits.context
    }

    /// What it counts: requests, tokens, times, memory, energy.
    pub fn metrics(&self) -> &EngineMetrics {
        &self.0.metrics
    }

    /// Takes a request; its tokens come through the stream. Returns at once.
    ///
    /// # Errors
    /// [`EngineError::Busy`] if too many wait; [`EngineError::Stopped`]; as those of
    /// [`Generator::start`](crate::Generator::start).
    pub fn submit(&self, request: Request) -> Result<EngineStream> {
        let ticket = Ticket::take(&self.0.queued, self.0.limits.queue);
        if ticket.is_err() {
            self.0.metrics.lock().refused += 1;
        }
        let ticket = ticket?;
        self.post(request, Some(ticket))
    }

    /// An empty conversation whose turns are requests of this engine: any number of them go on side by side, and what they
    /// begin with, such as instructions or tools, is run once for all. A [`ChatSession`] of its own remembers its own past
    /// alone.
    ///
    /// ```no_run
    /// # use dino_llm::{Engine, EngineOptions, Model, SamplingParams};
    /// # let model = Model::load("model.gguf")?;
    /// let engine = Engine::new(&model, EngineOptions::default())?;
    /// let mut session = engine.chat()?.system("You answer in one sentence.");
    /// let answer = session.send("Why is the sky blue?", &SamplingParams::default())?;
    /// println!("{} ({} tokens were known)", answer.text, answer.usage.cached_tokens);
    /// # Ok::<(), dino_llm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`](crate::Error::NoChatTemplate), [`Error::Template`](crate::Error::Template).
    pub fn chat(&self) -> Result<ChatSession> {
        let template = self.model().chat_template()?;
        Ok(ChatSession::with_engine(self, template))
    }

    /// Runs requests and waits for all of them. Completions come in the order of the requests; one that fails does not
    /// disturb the others.
    ///
    /// They do not count in the bounded queue, so any number is taken.
    pub fn generate_batch(
        &self,
        requests: impl IntoIterator<Item = Request>,
    ) -> Vec<Result<Completion>> {
        let streams: Vec<_> = requests
            .into_iter()
            .map(|request| self.post(request, None))
            .collect();
        streams
            .into_iter()
            .map(|stream| stream?.into_completion())
            .collect()
    }

    /// Takes no more requests, finishes those it has, and stops.
    pub fn drain(&self) {
        self.0.close(Message::Drain);
    }

    /// Stops at once; what waits or runs ends with [`EngineError::Stopped`].
    pub fn shutdown(&self) {
        self.0.close(Message::Stop);
    }

    fn post(&self, request: Request, ticket: Option<Ticket>) -> Result<EngineStream> {
        let Handle { model, limits, .. } = &*self.0;
        if self.0.is_closed.load(Ordering::Relaxed) {
            return Err(EngineError::Stopped.into());
        }
        let speculation = check_speculation(model, request.speculation.clone())?;
        let arrival = self.0.arrivals.fetch_add(1, Ordering::Relaxed);
        let rank = (Reverse(request.priority), arrival);
        let continuation = Continuation::new(model, request, limits.context)?;
        let (sender, receiver) = channel();
        let stream = EngineStream::new(model, receiver, &continuation);
        let mut job = Box::new(Job::new(continuation, rank, ticket, sender));
        if let Some(speculation) = speculation {
            job.speculate(&speculation);
        }
        let posted = self.0.inbox.send(Message::Run(job));
        posted.map_err(|_| EngineError::Stopped)?;
        Ok(stream)
    }
}

/// A model whose past cannot be taken back cannot try tokens; it does without guessing.
fn check_speculation(
    model: &Model,
    speculation: Option<Speculation>,
) -> Result<Option<Speculation>, EngineError> {
    let expected = model.tokenizer().vocab_size();
    let found = speculation.as_ref().and_then(Speculation::vocabulary);
    match found {
        Some(found) if found != expected => Err(EngineError::DraftVocabulary { found, expected }),
        _ => Ok(speculation.filter(|_| model.config().can_rewind())),
    }
}

impl Handle {
    fn close(&self, message: Message) {
        self.is_closed.store(true, Ordering::Relaxed);
        // If it fails the worker has ended already.
        let _ = self.inbox.send(message);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        // A processor may hold the last clone: the worker cannot wait for itself.
        let is_worker = |thread: &JoinHandle<()>| thread.thread().id() == thread::current().id();
        if let Some(thread) = thread.take_if(|thread| !is_worker(thread)) {
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close(Message::Stop);
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("model", &self.0.model)
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}
