//! A conversation with a model.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::voice::{Voice, VoiceStream};
use super::{
    ChatTemplate, Message, OutputFormat, OutputParser, ParsedOutput, RenderInput, RenderedPrompt,
    Role,
};
use crate::{
    Adapter, CancelToken, Completion, Engine, Error, FinishReason, Model, Prompt, Request, Result,
    SamplingParams, Stats, Token, Usage,
};

/// A conversation: keeps the messages, renders them with the model's own template, and remembers what was run.
///
/// Each turn renders the whole conversation. As templates put new messages behind old ones, only these are run.
///
/// A session of its own ([`Self::new`]) remembers its own past. Sessions of an [`Engine`] ([`Engine::chat`]) run beside each
/// other and share what they begin with, such as instructions.
///
/// ```no_run
/// use dino_llm::{ChatSession, Model, SamplingParams};
///
/// let model = Model::load("model.gguf")?;
/// let mut session = ChatSession::new(&model)?.system("You answer in one sentence.");
/// let answer = session.send("Why is the sky blue?", &SamplingParams::default())?;
/// println!("{}", answer.text);
/// # Ok::<(), dino_llm::Error>(())
/// ```
#[derive(Debug)]
pub struct ChatSession {
    voice: Voice,
    adapter: Option<Arc<Adapter>>,
    template: ChatTemplate,
    messages: Vec<Message>,
    tools: Option<Vec<Value>>,
    format: OutputFormat,
    variables: Map<String, Value>,
}

impl ChatSession {
    /// An empty conversation.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`](crate::Error::NoChatTemplate), [`Error::Template`](crate::Error::Template).
    pub fn new(model: &Model) -> Result<Self> {
        Ok(Self::with_template(model, model.chat_template()?))
    }

    /// An empty conversation that is rendered with another template than the model's own.
    pub fn with_template(model: &Model, template: ChatTemplate) -> Self {
        Self::with_voice(Voice::own(model), template)
    }

    /// An empty conversation whose turns are requests of `engine`; as [`Engine::chat`], with another template than the
    /// model's own.
    pub fn with_engine(engine: &Engine, template: ChatTemplate) -> Self {
        Self::with_voice(Voice::Shared(engine.clone()), template)
    }

    fn with_voice(voice: Voice, template: ChatTemplate) -> Self {
        Self {
            voice,
            adapter: None,
            format: template.output_format(),
            template,
            messages: Vec::new(),
            tools: None,
            variables: Map::new(),
        }
    }

    /// Adds instructions to the model.
    #[must_use]
    pub fn system(mut self, text: impl Into<String>) -> Self {
        self.messages.push(Message::system(text));
        self
    }

    /// Tells the model of tools, as JSON schemas of functions.
    #[must_use]
    pub fn tools(self, tools: Vec<Value>) -> Self {
        Self {
            tools: Some(tools),
            ..self
        }
    }

    /// Takes answers apart as `format` says, instead of what the template's text suggests.
    #[must_use]
    pub fn output_format(self, format: OutputFormat) -> Self {
        Self { format, ..self }
    }

    /// Answers with an adapter; see [`Model::adapter`].
    #[must_use]
    pub fn adapter(self, adapter: &Arc<Adapter>) -> Self {
        Self {
            adapter: Some(Arc::clone(adapter)),
            ..self
        }
    }

    /// Sets a variable of the template, such as `enable_thinking`.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// The model that is talked to.
    pub fn model(&self) -> &Model {
        self.voice.model()
    }

    /// The conversation so far.
    pub fn history(&self) -> &[Message] {
        &self.messages
    }

    /// The conversation so far, to be edited: added to, shortened, restored.
    pub fn history_mut(&mut self) -> &mut Vec<Message> {
        &mut self.messages
    }

    /// Forgets all but the instructions that the conversation began with.
    pub fn reset(&mut self) {
        let is_system = |message: &Message| message.role == Role::System;
        let kept = self
            .messages
            .iter()
            .take_while(|message| is_system(message));
        self.messages.truncate(kept.count());
    }

    /// Writes the conversation and what was run of it to a file, which takes its place when it is complete and on the
    /// disk. Of a session of an engine it is the messages alone: what was run belongs to the engine.
    ///
    /// # Errors
    /// As those of [`Generator::save`](crate::Generator::save).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        // Messages are made of strings and JSON; these do not fail.
        let note = serde_json::to_vec(&self.messages).unwrap_or_default();
        self.voice.save(&note, path.as_ref())
    }

    /// Goes on with the conversation that [`Self::save`] wrote, instead of this one; only what is new is run.
    ///
    /// # Errors
    /// As those of [`Generator::restore`](crate::Generator::restore); [`Error::NoConversation`](crate::Error::NoConversation). Then nothing has
    /// changed.
    pub fn restore(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let (voice, note) = self.voice.restored(path.as_ref())?;
        self.messages = serde_json::from_slice(&note).map_err(|_| Error::NoConversation {
            file: path.as_ref().to_owned(),
        })?;
        self.voice = voice;
        Ok(())
    }

    /// Says something and waits for the answer. Text is a message of the user.
    ///
    /// # Errors
    /// As those of [`Self::stream`]; what the forward pass and the sampler report. Then the conversation is as before.
    pub fn send(
        &mut self,
        message: impl Into<Message>,
        params: &SamplingParams,
    ) -> Result<Completion> {
        self.stream(message, params)?.into_completion()
    }

    /// Says something and streams the answer. Text is a message of the user.
    ///
    /// The answer joins the conversation when the stream is dropped, as far as it was given: what was said is said, also
    /// where `max_tokens` or a cancellation cut it off. Thoughts and calls of tools are taken out of it then: the last
    /// message of [`Self::history`] has them as `reasoning` and `tool_calls`. After an error, or before the first token,
    /// the conversation is as before.
    ///
    /// Where the model marks thoughts or calls, and tools were given or it thinks, the text keeps special tokens.
    ///
    /// # Errors
    /// [`Error::Template`](crate::Error::Template) if the template refuses the conversation; as those of
    /// [`Generator::start`](crate::Generator::start), or of an engine's session [`Engine::submit`]. Then the conversation is as
    /// before.
    pub fn stream(
        &mut self,
        message: impl Into<Message>,
        params: &SamplingParams,
    ) -> Result<ChatStream<'_>> {
        self.messages.push(message.into());
        let started = self.prompt().and_then(|prompt| {
            let parser = self.parser(&prompt);
            let mut request = Request::new(Prompt::rendered(prompt), &self.visible(params));
            if let Some(adapter) = &self.adapter {
                request = request.adapter(adapter);
            }
            Ok((self.voice.start(request)?, parser))
        });
        match started {
            Ok((tokens, parser)) => Ok(ChatStream {
                messages: &mut self.messages,
                tokens,
                parser: Some(parser),
            }),
            Err(error) => {
                self.messages.pop();
                Err(error)
            }
        }
    }

    /// What the conversation renders to, up to where an answer begins. Names of control tokens in what was said are plain
    /// text, for a model that runs it as [`Prompt::rendered`].
    ///
    /// # Errors
    /// [`Error::Template`](crate::Error::Template) if the template refuses the conversation.
    pub fn prompt(&self) -> Result<RenderedPrompt> {
        let special = self.model().tokenizer().special();
        let text = |token: Option<u32>| {
            let bytes = self.model().tokenizer().token_bytes(token?).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let (bos, eos) = (text(special.bos), text(special.eos));
        Ok(self.template.render_conversation(&RenderInput {
            messages: &self.messages,
            tools: self.tools.as_deref(),
            add_generation_prompt: true,
            bos_token: bos.as_deref(),
            eos_token: eos.as_deref(),
            variables: self.variables.clone(),
            ..RenderInput::default()
        })?)
    }

    /// What takes the answer to `prompt` apart. Without tools nothing is taken for a call.
    fn parser(&self, prompt: &str) -> OutputParser {
        let tools = self.tools.as_deref().unwrap_or_default();
        OutputParser::new(self.answer_format())
            .tools(tools)
            .after_prompt(prompt)
    }

    fn answer_format(&self) -> OutputFormat {
        OutputFormat {
            tool_calls: self.format.tool_calls.filter(|_| self.tools.is_some()),
            ..self.format.clone()
        }
    }

    /// Lets the text keep the special tokens that the parser has to see.
    fn visible(&self, params: &SamplingParams) -> SamplingParams {
        SamplingParams {
            skip_special_tokens: params.skip_special_tokens
                && !self.answer_format().needs_special_tokens(),
            ..params.clone()
        }
    }
}

impl From<&str> for Message {
    /// A message of the user.
    fn from(text: &str) -> Self {
        Self::user(text)
    }
}

impl From<String> for Message {
    /// A message of the user.
    fn from(text: String) -> Self {
        Self::user(text)
    }
}

/// The tokens of an answer; see [`ChatSession::stream`].
#[derive(Debug)]
pub struct ChatStream<'a> {
    messages: &'a mut Vec<Message>,
    tokens: VoiceStream,
    /// Until the answer has joined the conversation.
    parser: Option<OutputParser>,
}

impl ChatStream<'_> {
    /// A token that cancels this answer, also in the middle of its prompt.
    pub fn cancel_token(&self) -> CancelToken {
        self.tokens.cancel_token()
    }

    /// Why the answer ended; `None` while it goes on.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.tokens.finish_reason()
    }

    /// Tokens counted so far.
    pub fn usage(&self) -> Usage {
        self.tokens.usage()
    }

    /// How fast it has been so far.
    pub fn stats(&self) -> Stats {
        self.tokens.stats()
    }

    /// The text so far: that of all tokens, joined.
    pub fn text(&self) -> &str {
        self.tokens.text()
    }

    /// Runs the answer to its end and gives all of it, tokens already seen included.
    ///
    /// # Errors
    /// What the forward pass and the sampler report.
    pub fn into_completion(mut self) -> Result<Completion> {
        self.tokens.complete()
    }
}

impl Iterator for ChatStream<'_> {
    type Item = Result<Token>;

    fn next(&mut self) -> Option<Result<Token>> {
        self.tokens.next()
    }
}

impl Drop for ChatStream<'_> {
    fn drop(&mut self) {
        let failed = self.tokens.finish_reason() == Some(FinishReason::Failed);
        if failed || self.tokens.usage().completion_tokens == 0 {
            self.messages.pop();
        } else {
            let parser = self.parser.take();
            let parsed = parser.map(|parser| parser.run(self.tokens.text()));
            let message = parsed.map(ParsedOutput::into_message);
            self.messages.extend(message);
        }
    }
}
