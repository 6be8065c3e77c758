//! Takes an answer apart while it arrives.

use serde_json::Value as Json;

use super::body::{Body, Context, Status, is_tool_name};
use super::delta::Sink;
use super::marker::{Found, begins, find, trimmed_len};
use super::tools::Tools;
use super::{OutputDelta, OutputFormat, ParsedOutput, ToolCallFormat};

/// Takes an answer apart into thoughts, content and calls of tools.
///
/// What comes out, joined, does not depend on where the pieces that went in begin and end. A call that is none (no JSON,
/// no name, or a bare object whose name is no tool's) stays content.
///
/// ```
/// use dino_llm::{OutputDelta, OutputFormat, OutputParser, ReasoningMarkers, ToolCallFormat};
///
/// let format = OutputFormat {
///     reasoning: Some(ReasoningMarkers::think()),
///     tool_calls: Some(ToolCallFormat::Hermes),
/// };
/// let mut parser = OutputParser::new(format);
/// assert_eq!(parser.push("<think>Hm"), [OutputDelta::Reasoning("Hm".into())]);
/// assert_eq!(parser.push(".</think>\n\nSure. <tool"), [
///     OutputDelta::Reasoning(".".into()),
///     OutputDelta::Content("Sure.".into()),
/// ]);
/// let call = parser.push("_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>");
/// assert!(matches!(&call[0], OutputDelta::ToolCall { name, .. } if name == "now"));
/// assert_eq!(parser.finish(), []);
/// ```
#[derive(Debug)]
pub struct OutputParser {
    format: OutputFormat,
    tools: Tools,
    /// Text that is not decided yet.
    held: String,
    state: State,
    sink: Sink,
}

#[derive(Debug)]
enum State {
    /// White space so far; thoughts, a bare call or content may come.
    Start { may_think: bool },
    /// In thoughts; white space before their first letter is left out.
    Reasoning { is_empty: bool },
    /// In content.
    Content,
    /// Behind the marker of a call, in white space.
    Marker,
    /// In a call; its text, marker included, until a call of it has begun.
    Call { body: Body, raw: Option<String> },
    /// Behind a call; what closes it may come.
    AfterCall { may_close: bool },
    /// Functionary's name of a tool, or `all` for content, up to the end of the line.
    Recipient,
}

impl OutputParser {
    /// A parser of one answer.
    pub fn new(format: OutputFormat) -> Self {
        let state = if format.tool_calls == Some(ToolCallFormat::Functionary) {
            State::Recipient
        } else {
            State::Start { may_think: true }
        };
        Self {
            format,
            tools: Tools::default(),
            held: String::new(),
            state,
            sink: Sink::default(),
        }
    }

    /// Tells the parser which tools there are, as JSON schemas of functions. JSON without a marker is a call only if it
    /// names one of them.
    #[must_use]
    pub fn tools(self, tools: &[Json]) -> Self {
        Self {
            tools: Tools::new(tools),
            ..self
        }
    }

    /// Looks at the prompt that is answered: some templates open the thoughts themselves.
    #[must_use]
    pub fn after_prompt(mut self, prompt: &str) -> Self {
        let prompt = prompt.trim_end();
        if let Some(markers) = &self.format.reasoning
            && prompt.ends_with(&*markers.open)
        {
            self.state = State::Reasoning { is_empty: true };
        }
        self
    }

    /// Takes more of the text; gives what is decided by it.
    pub fn push(&mut self, text: &str) -> Vec<OutputDelta> {
        self.held.push_str(text);
        while self.step() {}
        self.sink.take()
    }

    /// Gives what was held back, at the end of the text. A call that was cut off keeps the arguments it has.
    pub fn finish(&mut self) -> Vec<OutputDelta> {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.state, State::Content) {
            State::Reasoning { .. } => self.sink.reasoning(held.trim_end()),
            State::Call { raw, .. } => self.sink.content(&raw.unwrap_or_default()),
            State::Marker => {
                let marker = self.marker().unwrap_or_default();
                self.sink.content(&(marker.to_owned() + &held));
            }
            State::AfterCall { .. } => self.sink.content(held.trim()),
            State::Start { may_think: false } => self.sink.content(held.trim_start()),
            State::Start { .. } | State::Content | State::Recipient => self.sink.content(&held),
        }
        self.sink.take()
    }

    /// Number of calls that have begun.
    pub fn calls(&self) -> usize {
        self.sink.calls()
    }

    fn marker(&self) -> Option<&'static str> {
        self.format.tool_calls?.marker()
    }

    /// Decides some of the held text; false if more has to arrive first.
    fn step(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::Content) {
            State::Start { may_think } => self.start(may_think),
            State::Reasoning { is_empty } => self.reason(is_empty),
            State::Content => self.content(),
            State::Marker => self.behind_marker(),
            State::Call { body, raw } => self.call(body, raw),
            State::AfterCall { may_close } => self.after_call(may_close),
            State::Recipient => self.recipient(),
        }
    }

    fn go(&mut self, state: State) -> bool {
        self.state = state;
        true
    }

    fn wait(&mut self, state: State) -> bool {
        self.state = state;
        false
    }

    fn start(&mut self, may_think: bool) -> bool {
        let trimmed = self.held.trim_start();
        let Some(first) = trimmed.chars().next() else {
            return self.wait(State::Start { may_think });
        };
        if let (true, Some(markers)) = (may_think, &self.format.reasoning) {
            match begins(trimmed, &markers.open) {
                None => return self.wait(State::Start { may_think }),
                Some(true) => {
                    self.held = trimmed[markers.open.len()..].to_owned();
                    return self.go(State::Reasoning { is_empty: true });
                }
                Some(false) => {}
            }
        }
        if !may_think {
            // Thoughts and what follows are set apart by white space that is of neither.
            self.held = trimmed.to_owned();
        }
        let is_bare = self.format.tool_calls.is_some_and(ToolCallFormat::is_bare);
        if is_bare && matches!(first, '{' | '[') {
            return self.go(State::Call {
                body: Body::bare(),
                raw: Some(String::new()),
            });
        }
        self.go(State::Content)
    }

    fn reason(&mut self, is_empty: bool) -> bool {
        let Some(markers) = &self.format.reasoning else {
            return self.go(State::Content);
        };
        if is_empty {
            self.held = self.held.trim_start().to_owned();
        }
        match find(&self.held, &markers.close) {
            Found::At(at) => {
                self.sink.reasoning(self.held[..at].trim_end());
                self.held.drain(..at + markers.close.len());
                if self.format.tool_calls == Some(ToolCallFormat::Functionary) {
                    return self.go(State::Recipient);
                }
                self.go(State::Start { may_think: false })
            }
            Found::Open(at) => {
                let shown = trimmed_len(&self.held[..at]);
                self.sink.reasoning(&self.held[..shown]);
                self.held.drain(..shown);
                self.wait(State::Reasoning {
                    is_empty: is_empty && shown == 0,
                })
            }
        }
    }

    fn content(&mut self) -> bool {
        let Some(marker) = self.marker() else {
            self.sink.content(&std::mem::take(&mut self.held));
            return false;
        };
        match find(&self.held, marker) {
            Found::At(at) => {
                self.sink.content(self.held[..at].trim_end());
                self.held.drain(..at + marker.len());
                self.go(State::Marker)
            }
            Found::Open(at) => {
                let shown = trimmed_len(&self.held[..at]);
                self.sink.content(&self.held[..shown]);
                self.held.drain(..shown);
                self.wait(State::Content)
            }
        }
    }

    fn behind_marker(&mut self) -> bool {
        let Some(format) = self.format.tool_calls else {
            return self.go(State::Content);
        };
        if format == ToolCallFormat::Functionary {
            return self.go(State::Recipient);
        }
        let trimmed = self.held.trim_start();
        let Some(first) = trimmed.chars().next() else {
            return self.wait(State::Marker);
        };
        let space = self.held.len() - trimmed.len();
        let raw = format.marker().unwrap_or_default().to_owned() + &self.held[..space];
        self.held.drain(..space);
        self.go(State::Call {
            body: Body::new(format, first),
            raw: Some(raw),
        })
    }

    fn call(&mut self, mut body: Body, mut raw: Option<String>) -> bool {
        let held = std::mem::take(&mut self.held);
        let before = self.sink.calls();
        for (at, c) in held.char_indices() {
            let mut context = Context {
                sink: &mut self.sink,
                tools: &self.tools,
            };
            let status = body.push(c, &mut context);
            if self.sink.calls() > before {
                raw = None;
            } else if let Some(raw) = &mut raw {
                raw.push(c);
            }
            if status == Status::More {
                continue;
            }
            self.held = held[at + c.len_utf8()..].to_owned();
            if status == Status::Done {
                return self.go(State::AfterCall { may_close: true });
            }
            self.sink.content(&raw.unwrap_or_default());
            return self.go(State::Content);
        }
        self.wait(State::Call { body, raw })
    }

    fn after_call(&mut self, may_close: bool) -> bool {
        self.held = self.held.trim_start().to_owned();
        let Some(first) = self.held.chars().next() else {
            return self.wait(State::AfterCall { may_close });
        };
        let format = self.format.tool_calls;
        if let (true, Some(closer)) = (may_close, format.and_then(ToolCallFormat::closer)) {
            match begins(&self.held, closer) {
                None => return self.wait(State::AfterCall { may_close }),
                Some(true) => {
                    self.held.drain(..closer.len());
                    return self.go(State::AfterCall { may_close: false });
                }
                Some(false) => {}
            }
        }
        if format.is_some_and(ToolCallFormat::is_bare) && matches!(first, '{' | '[') {
            return self.go(State::Call {
                body: Body::bare(),
                raw: Some(String::new()),
            });
        }
        self.go(State::Content)
    }

    fn recipient(&mut self) -> bool {
        let format = ToolCallFormat::Functionary;
        match begins(&self.held, ">>>") {
            None => return self.wait(State::Recipient),
            Some(true) => drop(self.held.drain(..3)),
            Some(false) => {}
        }
        let line = self.held.split('\n').next().unwrap_or_default();
        if !line.is_empty() && !is_tool_name(line.trim()) {
            return self.go(State::Content);
        }
        if line.len() == self.held.len() {
            return self.wait(State::Recipient);
        }
        if line.trim() == "all" {
            self.held.drain(..=line.len());
            return self.go(State::Content);
        }
        self.go(State::Call {
            body: Body::new(format, '\n'),
            raw: Some(String::new()),
        })
    }
}

impl OutputFormat {
    /// Takes a whole answer apart.
    pub fn parse(&self, text: &str) -> ParsedOutput {
        OutputParser::new(self.clone()).run(text)
    }
}

impl OutputParser {
    /// Takes a whole answer apart.
    pub fn run(mut self, text: &str) -> ParsedOutput {
        let mut parsed = ParsedOutput::default();
        let deltas = self.push(text).into_iter();
        let rest = self.finish();
        deltas.chain(rest).for_each(|delta| parsed.push(delta));
        parsed
    }
}
