//! Texts to vectors, by encoders.

use std::fmt;
use std::path::Path;

use dino_kernels::{Compute, Isa, Kernels, ThreadPool};
use dino_models::ModelError;
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::encoder::build_encoder;
use dino_models::encoder::{Encoder, Pool, Pooling};
use dino_models::tokenizer::{EncodeOptions, Tokenizer, VocabularyTokenizer};
use ndarray::{Axis, Slice};

use crate::Result;

/// Makes vectors of texts with an encoder, such as BERT. [`Model::embed`](crate::Model::embed) makes them with a language
/// model.
///
/// Unless a folder says otherwise the vectors are as long as 1, so that the dot product of two is the cosine of their angle: how alike two texts are.
///
/// ```no_run
/// use dino_llm::Embedder;
///
/// let embedder = Embedder::load("all-MiniLM-L6-v2.gguf")?;
/// let vectors = embedder.embed(&["A cat sat on the mat.", "Ein Kater saß auf der Matte."])?;
/// let alike: f32 = vectors[0].iter().zip(&vectors[1]).map(|(x, y)| x * y).sum();
/// println!("{} dimensions, alike by {alike:.3}", embedder.dimensions());
/// # Ok::<(), dino_llm::Error>(())
/// ```
pub struct Embedder {
    encoder: Box<dyn Encoder>,
    tokenizer: VocabularyTokenizer,
    compute: Compute,
    pooling: Pooling,
    normalize: bool,
    truncate: bool,
}

/// Settings of an [`Embedder`]; [`Embedder::builder`] makes one.
#[derive(Clone, Debug, Default)]
pub struct EmbedderBuilder {
    threads: usize,
    pooling: Option<Pooling>,
    normalize: Option<bool>,
    truncate: bool,
    precise: bool,
    reproducible: bool,
}

impl EmbedderBuilder {
    /// Uses this many threads, the calling one among them; 0, the default, is one a core that the process may use.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// How the vector of a text is made from those of its tokens. The default is what the file says, or else the mean.
    #[must_use]
    pub fn pooling(self, pooling: Pooling) -> Self {
        Self {
            pooling: Some(pooling),
            ..self
        }
    }

    /// Whether vectors are made as long as 1. The default is what the folder says, or else that they are.
    #[must_use]
    pub fn normalize(self, normalize: bool) -> Self {
        Self {
            normalize: Some(normalize),
            ..self
        }
    }

    /// Whether a text that is longer than the model reads is cut at its end; by default it is an error.
    #[must_use]
    pub fn truncate(self, truncate: bool) -> Self {
        Self { truncate, ..self }
    }

    /// Multiplies quantized weights by f32 activations; see [`ModelBuilder::precise`](crate::ModelBuilder::precise).
    #[must_use]
    pub fn precise(self, precise: bool) -> Self {
        Self { precise, ..self }
    }

    /// Gives a text the same vector, to the bit, whatever else is computed beside it; see
    /// [`ModelBuilder::reproducible`](crate::ModelBuilder::reproducible).
    #[must_use]
    pub fn reproducible(self, reproducible: bool) -> Self {
        Self {
            reproducible,
            ..self
        }
    }

    /// Loads an encoder: a GGUF file or a Hugging Face folder, with what sentence-transformers puts around it.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or holds no encoder that is supported.
    pub fn load(self, path: impl AsRef<Path>) -> Result<Embedder> {
        let file = Registry::default().open(path)?;
        let kernels = Kernels::for_isa(Isa::from_env()?)?;
        let kernels = if self.reproducible {
            kernels.reproducible()
        } else {
            kernels
        };
        let compute = Compute::of(kernels, ThreadPool::new(self.threads)?);
        let options = LoaderOptions {
            precise: self.precise,
            ..LoaderOptions::default()
        };
        let encoder = build_encoder(&mut Loader::new(&file, &compute, options))?;
        let normalize = encoder.config().normalize;
        Ok(Embedder {
            pooling: self
                .pooling
                .or(encoder.config().pooling)
                .unwrap_or_default(),
            tokenizer: VocabularyTokenizer::from_metadata(&file.metadata)?,
            encoder,
            compute,
            normalize: self.normalize.or(normalize).unwrap_or(true),
            truncate: self.truncate,
        })
    }
}

/// Tokens of a pass: enough to make good use of each weight, few enough for the caches.
const TOKENS_A_PASS: usize = 2048;

impl Embedder {
    /// Loads a model file with default settings; [`Embedder::builder`] has the others.
    ///
    /// # Errors
    /// As those of [`EmbedderBuilder::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().load(path)
    }

    /// Settings to load with.
    pub fn builder() -> EmbedderBuilder {
        EmbedderBuilder::default()
    }

    /// Values in a vector.
    pub fn dimensions(&self) -> usize {
        self.encoder.config().hidden
    }

    /// Tokens that a text may have.
    pub fn context_length(&self) -> usize {
        self.encoder.config().context_length
    }

    /// The ids of a text, framed as the model wants it.
    ///
    /// # Errors
    /// [`ModelError::ContextOverflow`] if it is longer than the model reads and is not to be cut; what the tokenizer
    /// reports.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let options = EncodeOptions {
            add_special: true,
            parse_special: false,
        };
        let mut tokens = self.tokenizer.encode(text, options)?;
        let limit = self.encoder.config().context_length;
        if tokens.len() > limit {
            if !self.truncate {
                let needed = tokens.len();
                return Err(ModelError::ContextOverflow { needed, limit }.into());
            }
            // What ends a text stays at its end.
            let special = self.tokenizer.special();
            let end = special.eos.filter(|_| special.add_eos);
            tokens.truncate(limit);
            if let (Some(end), Some(last)) = (end, tokens.last_mut()) {
                *last = end;
            }
        }
        Ok(tokens)
    }

    /// A vector for each text, in their order.
    ///
    /// # Errors
    /// As those of [`Self::tokens`]; what the forward pass reports.
    pub fn embed<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let tokens = texts.iter().map(|text| self.tokens(text.as_ref()));
        self.embed_tokens(&tokens.collect::<Result<Vec<_>>>()?)
    }

    /// A vector for each list of ids, in their order.
    ///
    /// # Errors
    /// What the forward pass reports.
    pub fn embed_tokens(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let mut tokens = 0;
            let fits = rest.iter().take_while(|text| {
                tokens += text.len();
                tokens <= TOKENS_A_PASS
            });
            let (pass, later) = rest.split_at(fits.count().max(1));
            rest = later;
            let pass: Vec<&[u32]> = pass.iter().map(Vec::as_slice).collect();
            let features = self.encoder.encode(&self.compute, &pass)?;
            let mut start = 0;
            for text in pass {
                let rows = Slice::from(start..start + text.len());
                let mut pool = Pool::new(self.pooling, self.dimensions());
                pool.push(features.slice_axis(Axis(0), rows));
                vectors.push(match self.normalize {
                    true => pool.unit(),
                    false => pool.features(),
                });
                start += text.len();
            }
        }
        Ok(vectors)
    }
}

impl fmt::Debug for Embedder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Embedder")
            .field("dimensions", &self.dimensions())
            .field("pooling", &self.pooling)
            .field("normalize", &self.normalize)
            .field("truncate", &self.truncate)
            .finish_non_exhaustive()
    }
}
