//! From a grammar to a constraint.

use std::fmt;
use std::sync::Arc;
use std::thread;

use llguidance::{Matcher, ParserFactory};

use super::limits::{STACK_BYTES, parser_limits};
use super::vocabulary::token_environment;
use super::{Constraint, Grammar, GrammarError};
use crate::{Model, Result};

/// Compiles grammars for one model's vocabulary. Making one takes a moment (a tenth of a second for a hundred thousand
/// tokens), so keep it; a clone is another handle.
///
/// ```no_run
/// use dino_llm::{Generator, Grammar, GrammarCompiler, Model, Prompt, Request, SamplingParams};
///
/// let model = Model::load("model.gguf")?;
/// let grammars = GrammarCompiler::new(&model)?;
/// let yes_or_no = grammars.compile(&Grammar::Choice(vec!["yes".into(), "no".into()]))?;
/// let request = Request::new("Is water wet? ", &SamplingParams::default()).processor(yes_or_no);
/// for token in Generator::new(&model).start(request)? {
///     print!("{}", token?.text);
/// }
/// # Ok::<(), dino_llm::Error>(())
/// ```
#[derive(Clone)]
pub struct GrammarCompiler {
    factory: Arc<ParserFactory>,
}

impl GrammarCompiler {
    /// Reads the vocabulary.
    ///
    /// # Errors
    /// [`GrammarError::NoEnd`]; [`Error::Tokenizer`](crate::Error::Tokenizer).
    pub fn new(model: &Model) -> Result<Self> {
        let ends = model.end_of_generation();
        let environment = token_environment(&**model.tokenizer(), ends)?;
        let factory = ParserFactory::new_simple(&environment);
        let mut factory = factory.map_err(|error| invalid("vocabulary", &error))?;
        *factory.limits_mut() = parser_limits();
        factory.quiet();
        Ok(Self {
            factory: Arc::new(factory),
        })
    }

    /// Makes a constraint for one text; clone it for further ones.
    ///
    /// # Errors
    /// [`Error::Grammar`](crate::Error::Grammar) with the first thing that is wrong.
    pub fn compile(&self, grammar: &Grammar) -> Result<Constraint> {
        let lowered = grammar.lower()?;
        let kind = grammar.kind();
        let work = || {
            let mut matcher = Matcher::new(self.factory.create_parser(lowered));
            if let Some(message) = matcher.get_error() {
                return Err(GrammarError::Invalid { kind, message });
            }
            // The first mask shows whether the grammar matches anything, and is kept.
            let mask = matcher.compute_mask_or_eos();
            mask.map_err(|error| invalid(kind, &error))?;
            Ok(matcher)
        };
        Ok(Constraint::new(on_own_stack(kind, work)?))
    }
}

impl fmt::Debug for GrammarCompiler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GrammarCompiler")
            .finish_non_exhaustive()
    }
}

/// Runs `work` on a large stack; a panic in it is an error.
fn on_own_stack(
    kind: &'static str,
    work: impl FnOnce() -> Result<Matcher, GrammarError> + Send,
) -> Result<Matcher, GrammarError> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(STACK_BYTES);
        let worker = builder.spawn_scoped(scope, work);
        let worker = worker.map_err(|error| GrammarError::Invalid {
            kind,
            message: error.to_string(),
        })?;
        worker.join().unwrap_or_else(|_| {
            Err(GrammarError::Invalid {
                kind,
                message: "the compiler panicked".into(),
            })
        })
    })
}

fn invalid(kind: &'static str, error: &dyn fmt::Display) -> GrammarError {
    GrammarError::Invalid {
        kind,
        message: error.to_string(),
    }
}
