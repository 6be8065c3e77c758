//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dino_llm::{
    ChatTemplate, Engine, EngineOptions, GrammarCompiler, Model, OutputFormat, default_model,
};
use tokio::sync::Semaphore;

use crate::options::Options;
use crate::served::{Served, stem};
use crate::speculation::Speculations;

/// The model, its engine, and what requests may ask for.
pub(crate) struct App {
    pub(crate) model: Model,
    pub(crate) engine: Engine,
    pub(crate) grammars: GrammarCompiler,
    /// `None` where the model is not made for conversations.
    pub(crate) template: Option<ChatTemplate>,
    pub(crate) format: OutputFormat,
    /// What clients may name as `model`.
    pub(crate) served: Served,
    pub(crate) speculations: Speculations,
    /// Seconds since 1970.
    pub(crate) started: u64,
    pub(crate) limits: Limits,
    pub(crate) api_key: Option<String>,
    /// Whose pages may use the server from a browser.
    pub(crate) origins: Vec<String>,
    /// Who may prepare a request: templates, tokens and grammars take time, and all are given by clients.
    pub(crate) preparing: Semaphore,
    /// Who may use all threads to make vectors.
    pub(crate) embedding: Semaphore,
    pub(crate) is_stopping: AtomicBool,
    pub(crate) counts: Counts,
}

/// What requests may ask for.
pub(crate) struct Limits {
    pub(crate) body: usize,
    pub(crate) read: Duration,
    pub(crate) answer: Duration,
    pub(crate) tokens: Option<usize>,
    pub(crate) choices: usize,
}

/// Requests counted by what became of them.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) served: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// Requests that are prepared at the same time.
const MOST_PREPARING: usize = 4;

impl App {
    /// Loads the model and starts the engine.
    ///
    /// # Errors
    /// If a model or adapter cannot be loaded, or two have one name.
    pub(crate) fn load(options: &Options) -> Result<Arc<Self>, Box<dyn std::error::Error>> {
        let file = match &options.model {
            Some(file) => file.clone(),
            None => default_model::ensure(|_| {})?,
        };
        let mut builder = Model::builder().threads(options.threads);
        if let Some(tokens) = options.context_length {
            builder = builder.context_length(tokens);
        }
        let model = builder.load(&file)?;
        let engine = Engine::new(
            &model,
            EngineOptions {
                max_sequences: options.max_sequences,
                max_queue: options.max_queue,
                cache_memory: options.cache_memory,
                ..EngineOptions::default()
            },
        )?;
        let template = model.chat_template().ok();
        let name = options.alias.clone().unwrap_or_else(|| stem(&file));
        Ok(Arc::new(Self {
            grammars: GrammarCompiler::new(&model)?,
            format: template
                .as_ref()
                .map(ChatTemplate::output_format)
                .unwrap_or_default(),
            template,
            engine,
            served: Served::load(&model, name, options)?,
            speculations: Speculations::load(&model, options)?,
            model,
            started: now(),
            limits: Limits {
                body: options.max_body,
                read: Duration::from_secs(options.read_timeout),
                answer: Duration::from_secs(options.timeout),
                tokens: options.max_tokens,
                choices: options.max_choices,
            },
            api_key: options.api_key.clone(),
            origins: options.allow_origin.clone(),
            preparing: Semaphore::new(MOST_PREPARING),
            embedding: Semaphore::new(1),
            is_stopping: AtomicBool::new(false),
            counts: Counts::default(),
        }))
    }
}

impl Counts {
    pub(crate) fn count(&self, status: u16) {
        let count = match status {
            ..400 => &self.served,
            400..500 => &self.refused,
            _ => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
