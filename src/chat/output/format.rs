//! How the families of models write thoughts and calls.

use std::borrow::Cow;

use crate::ChatTemplate;

/// How a model marks what it thinks and what it calls.
///
/// [`ChatTemplate::output_format`] tells it from the template's text; set the fields where it errs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputFormat {
    /// What stands around thoughts; `None` where the model writes none.
    pub reasoning: Option<ReasoningMarkers>,
    /// How calls of tools are written; `None` leaves them in the content.
    pub tool_calls: Option<ToolCallFormat>,
}

/// What stands around thoughts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasoningMarkers {
    /// Before them, such as `<think>`.
    pub open: Cow<'static, str>,
    /// After them, such as `</think>`.
    pub close: Cow<'static, str>,
}

/// How calls of tools are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ToolCallFormat {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes, Qwen 2.5 and 3, SmolLM 3. Also
    /// `<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>` of Qwen3-Coder and Qwen 3.5.
    Hermes,
    /// `{"name": …, "parameters": {…}}` as the whole answer, or behind `<|python_tag|>`, where `NAME.call(KEY=VALUE)`
    /// may stand too: Llama 3.1 to 3.3.
    Llama3,
    /// `[TOOL_CALLS][{"name": …, "arguments": {…}}]`, or `[TOOL_CALLS]NAME[ARGS]{…}`: Mistral.
    Mistral,
    /// `<|tool_call|>[{"name": …, "arguments": {…}}]`: Granite 3, Phi-4-mini.
    TaggedList,
    /// `<function=NAME>{…}</function>`: Functionary 3.1, and Llama 3 told to write so.
    FunctionTag,
    /// `>>>NAME` and arguments on the next line, `>>>all` and content: Functionary 3.2.
    Functionary,
    /// A JSON object with `name` and `arguments` (or `parameters`), a list of them, or such under `function` or
    /// `tool_calls`, as the whole answer.
    Json,
}

impl ReasoningMarkers {
    const KNOWN: [(&'static str, &'static str); 4] = [
        ("<think>", "</think>"),
        ("[THINK]", "[/THINK]"),
        ("<|START_THINKING|>", "<|END_THINKING|>"),
        ("<seed:think>", "</seed:think>"),
    ];

    /// `<think>` and `</think>`, which most models use.
    pub fn think() -> Self {
        Self::from(Self::KNOWN[0])
    }
}

impl From<(&'static str, &'static str)> for ReasoningMarkers {
    fn from((open, close): (&'static str, &'static str)) -> Self {
        Self {
            open: open.into(),
            close: close.into(),
        }
    }
}

impl OutputFormat {
    /// Tells the format from the text of a template.
    pub(in crate::chat) fn detect(template: &ChatTemplate) -> Self {
        let source = template.source();
        let known = ReasoningMarkers::KNOWN.into_iter();
        Self {
            // The closing marker alone is enough: some templates write the opening one into the prompt, some cut old
            // thoughts off by it.
            reasoning: known
                .map(ReasoningMarkers::from)
                .find(|markers| source.contains(&*markers.close)),
            tool_calls: Some(ToolCallFormat::detect(source, template.supports_tools())),
        }
    }

    /// Whether markers of this format may be special tokens, so that a text without these misses them.
    pub fn needs_special_tokens(&self) -> bool {
        self.reasoning.is_some() || !matches!(self.tool_calls, None | Some(ToolCallFormat::Json))
    }
}

impl ToolCallFormat {
    fn detect(source: &str, supports_tools: bool) -> Self {
        let has = |text: &str| source.contains(text);
        if !supports_tools {
            // Then the tools are described in words of ours, which ask for this form.
            Self::Hermes
        } else if has("[TOOL_CALLS]") {
            Self::Mistral
        } else if has("<tool_call>") {
            Self::Hermes
        } else if has(">>>all") || has("'>>>'") || has("\">>>\"") {
            Self::Functionary
        } else if has("<function=") {
            Self::FunctionTag
        } else if has("<|tool_call|>") {
            Self::TaggedList
        } else if has("<|python_tag|>") || has("ipython") {
            Self::Llama3
        } else {
            Self::Json
        }
    }

    /// What a call begins with; none where it is known by its form alone.
    pub(super) fn marker(self) -> Option<&'static str> {
        match self {
            Self::Hermes => Some("<tool_call>"),
            Self::Llama3 => Some("<|python_tag|>"),
            Self::Mistral => Some("[TOOL_CALLS]"),
            Self::TaggedList => Some("<|tool_call|>"),
            Self::FunctionTag => Some("<function="),
            Self::Functionary => Some(">>>"),
            Self::Json => None,
        }
    }

    /// What ends a call or a list of them, where the model writes it.
    pub(super) fn closer(self) -> Option<&'static str> {
        match self {
            Self::Hermes => Some("</tool_call>"),
            Self::TaggedList => Some("<|/tool_call|>"),
            Self::FunctionTag => Some("</function>"),
            Self::Llama3 | Self::Json => Some(";"),
            Self::Mistral | Self::Functionary => None,
        }
    }

    /// Whether JSON at the beginning of the answer, without a marker, may be a call.
    pub(super) fn is_bare(self) -> bool {
        matches!(self, Self::Llama3 | Self::Json)
    }
}
