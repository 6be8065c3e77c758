//! Calls written as JSON, read letter by letter.
//!
//! Knows `{"name": …, "arguments" or "parameters": …}`, lists of it, and both under `function` or `tool_calls`. The text
//! of the arguments is passed on while it arrives. No recursion: a depth is a number here, whatever the model writes.

use super::body::{Context, Status};
use super::json_value::{JsonValue, Step};

/// Reads one JSON value: a call or a list of calls.
#[derive(Debug)]
pub(super) struct JsonCalls {
    /// Whether only the form makes it a call, so that the name has to be a tool's.
    by_form: bool,
    /// The containers that are open.
    frames: Vec<Frame>,
    state: State,
    call: PendingCall,
    /// Whether any call has begun.
    has_calls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// A list of calls.
    List,
    /// A call.
    Call,
    /// What stands under `function`: the same call.
    Inner,
}

#[derive(Debug)]
enum State {
    /// Before the value of a key.
    Before(Key),
    /// Before a key, or the end of an object.
    BeforeKey,
    /// In a key, with what it says so far.
    InKey(JsonValue, String),
    /// Between a key and its value.
    Colon(Key),
    /// In the value of a key, with what it says so far.
    In(Key, JsonValue, String),
    /// After a value: a comma, or the end of a container.
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    /// The whole value, an element of a list, or what stands under `tool_calls`.
    Calls,
    Name,
    Id,
    Arguments,
    /// The same call, one deeper.
    Function,
    Other,
}

#[derive(Debug, Default)]
struct PendingCall {
    name: Option<String>,
    id: Option<String>,
    /// Those that could not be passed on yet.
    arguments: String,
    has_arguments: bool,
    is_started: bool,
}

/// Deeper lists and wrappers are no call.
const MOST_FRAMES: usize = 8;

impl JsonCalls {
    pub(super) fn new(by_form: bool) -> Self {
        Self {
            by_form,
            frames: Vec::new(),
            state: State::Before(Key::Calls),
            call: PendingCall::default(),
            has_calls: false,
        }
    }

    pub(super) fn push(&mut self, c: char, context: &mut Context<'_>) -> Status {
        match std::mem::replace(&mut self.state, State::After) {
            State::Before(key) => self.before(key, c),
            State::BeforeKey => self.before_key(c, context),
            State::InKey(value, text) => self.in_key(value, text, c),
            State::Colon(key) if c == ':' => self.go(State::Before(key)),
            State::Colon(key) if c.is_whitespace() => self.go(State::Colon(key)),
            State::Colon(_) => Status::Broken,
            State::In(key, value, text) => self.inside(key, value, text, c, context),
            State::After => self.after(c, context),
        }
    }

    fn go(&mut self, state: State) -> Status {
        self.state = state;
        Status::More
    }

    fn before(&mut self, key: Key, c: char) -> Status {
        if c.is_whitespace() {
            return self.go(State::Before(key));
        }
        let can_nest = self.frames.len() < MOST_FRAMES;
        let (frame, next) = match (key, c) {
            (Key::Calls, '[') if can_nest => (Frame::List, State::Before(Key::Calls)),
            (Key::Calls, '{') if can_nest => (Frame::Call, State::BeforeKey),
            (Key::Function, '{') if can_nest => (Frame::Inner, State::BeforeKey),
            (Key::Calls, ']') if self.frames.last() == Some(&Frame::List) => {
                self.frames.pop();
                return self.end_of_container();
            }
            // `"function": "name"` is how some write the name.
            (Key::Name | Key::Function, '"') => return self.open(Key::Name, c),
            (Key::Name | Key::Function | Key::Calls, _) => return Status::Broken,
            _ => return self.open(key, c),
        };
        self.frames.push(frame);
        self.go(next)
    }

    fn open(&mut self, key: Key, c: char) -> Status {
        self.call.has_arguments |= key == Key::Arguments;
        match JsonValue::open(c) {
            Some((value, shown)) => self.go(State::In(key, value, shown.into_iter().collect())),
            None => Status::Broken,
        }
    }

    fn before_key(&mut self, c: char, context: &mut Context<'_>) -> Status {
        match c {
            '}' => self.close_object(context),
            _ if c.is_whitespace() => self.go(State::BeforeKey),
            '"' => match JsonValue::open(c) {
                Some((value, _)) => self.go(State::InKey(value, String::new())),
                None => Status::Broken,
            },
            _ => Status::Broken,
        }
    }

    fn in_key(&mut self, mut value: JsonValue, mut text: String, c: char) -> Status {
        match value.push(c) {
            Step::More(shown) => {
                text.extend(shown);
                self.go(State::InKey(value, text))
            }
            Step::Done(_) => self.go(State::Colon(Key::named(&text))),
            Step::Over | Step::Broken => Status::Broken,
        }
    }

    fn inside(
        &mut self,
        key: Key,
        mut value: JsonValue,
        mut text: String,
        c: char,
        context: &mut Context<'_>,
    ) -> Status {
        let step = value.push(c);
        if let Step::More(shown) | Step::Done(shown) = step {
            text.extend(shown);
        }
        if key == Key::Arguments {
            self.call.arguments.push_str(&text);
            text.clear();
        }
        if matches!(step, Step::Done(_) | Step::Over) {
            match key {
                Key::Name => self.call.name = Some(std::mem::take(&mut text)),
                Key::Id => self.call.id = Some(std::mem::take(&mut text)),
                _ => {}
            }
        }
        if self.pass_on(context) == Status::Broken {
            return Status::Broken;
        }
        match step {
            Step::More(_) => self.go(State::In(key, value, text)),
            Step::Done(_) => self.go(State::After),
            // A number or word ends at the character behind it.
            Step::Over => self.after(c, context),
            Step::Broken => Status::Broken,
        }
    }

    fn after(&mut self, c: char, context: &mut Context<'_>) -> Status {
        match (c, self.frames.last()) {
            (',', Some(Frame::List)) => self.go(State::Before(Key::Calls)),
            (',', Some(_)) => self.go(State::BeforeKey),
            (']', Some(Frame::List)) => {
                self.frames.pop();
                self.end_of_container()
            }
            ('}', Some(Frame::Call | Frame::Inner)) => self.close_object(context),
            _ if c.is_whitespace() => self.go(State::After),
            _ => Status::Broken,
        }
    }

    fn close_object(&mut self, context: &mut Context<'_>) -> Status {
        if self.frames.pop() == Some(Frame::Inner) {
            return self.end_of_container();
        }
        let is_wrapper = self.call.name.is_none() && !self.call.has_arguments && self.has_calls;
        if !is_wrapper {
            if !self.call.has_arguments {
                self.call.has_arguments = true;
                self.call.arguments.push_str("{}");
            }
            if self.pass_on(context) == Status::Broken || !self.call.is_started {
                return Status::Broken;
            }
        }
        self.call = PendingCall::default();
        self.end_of_container()
    }

    fn end_of_container(&mut self) -> Status {
        if self.frames.is_empty() {
            return if self.has_calls {
                Status::Done
            } else {
                Status::Broken
            };
        }
        self.go(State::After)
    }

    /// Begins the call once it is known to be one, and passes on what there is of its arguments.
    fn pass_on(&mut self, context: &mut Context<'_>) -> Status {
        let call = &mut self.call;
        let Some(name) = &call.name else {
            return Status::More;
        };
        if self.by_form && !context.tools.has(name) {
            return Status::Broken;
        }
        if call.has_arguments && !call.is_started {
            context.sink.call(call.id.take(), name);
            call.is_started = true;
            self.has_calls = true;
        }
        if call.is_started {
            context.sink.arguments(&std::mem::take(&mut call.arguments));
        }
        Status::More
    }
}

impl Key {
    fn named(text: &str) -> Self {
        match text {
            "name" => Self::Name,
            "id" => Self::Id,
            "arguments" | "parameters" => Self::Arguments,
            "function" => Self::Function,
            "tool_calls" => Self::Calls,
            _ => Self::Other,
        }
    }
}
