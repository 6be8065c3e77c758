//! Source to tokens, with Jinja's whitespace rules: `trim_blocks` and `lstrip_blocks` on, the last newline dropped.

use std::sync::Arc;

use super::TemplateError;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Text outside tags, whitespace already removed.
    Text(Arc<str>),
    /// `{{`
    PrintBegin,
    /// `{%`
    BlockBegin,
    /// `}}` or `%}`
    TagEnd,
    Name(Arc<str>),
    Str(Arc<str>),
    Int(i64),
    Float(f64),
    /// Punctuation.
    Op(&'static str),
}

/// A token and its line, from 1.
pub(super) type Located = (Token, u32);

/// Longest first, so that the first match is the right one.
const OPERATORS: [&str; 26] = [
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "(", ")", "[", "]", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

/// Splits a source into tokens.
pub(super) fn tokenize(source: &str) -> Result<Vec<Located>, TemplateError> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut lexer = Lexer {
        source: source.strip_suffix('\n').unwrap_or(&source),
        at: 0,
        line: 1,
        tokens: Vec::new(),
    };
    while lexer.at < lexer.source.len() {
        lexer.text_and_tag()?;
    }
    Ok(lexer.tokens)
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    tokens: Vec<Located>,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn advance(&mut self, bytes: usize) -> &'s str {
        let passed = &self.rest()[..bytes];
        self.line += passed.matches('\n').count() as u32;
        self.at += bytes;
        passed
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError::Syntax {
            line: self.line,
            message: message.into(),
        })
    }

    fn text_and_tag(&mut self) -> Result<(), TemplateError> {
        let line_starts = self.source[..self.at]
            .chars()
            .next_back()
            .is_none_or(|last| last == '\n');
        let rest = self.rest();
        let begins = |at: &usize| {
            ["{{", "{%", "{#"]
                .iter()
                .any(|tag| rest[*at..].starts_with(tag))
        };
        let Some(length) = rest.match_indices('{').map(|(at, _)| at).find(begins) else {
            let text = self.advance(rest.len());
            self.push_text(text);
            return Ok(());
        };
        let kind = rest.as_bytes()[length + 1];
        let sign = rest[length + 2..]
            .chars()
            .next()
            .filter(|sign| matches!(sign, '-' | '+'));
        let text = &rest[..length];
        let kept = match sign {
            Some('-') => text.trim_end(),
            None if kind != b'{' => without_indent(text, line_starts),
            _ => text,
        };
        self.push_text(kept);
        self.advance(length + 2 + sign.map_or(0, char::len_utf8));
        match kind {
            b'#' => self.comment(),
            b'{' => self.tag(Token::PrintBegin, "}}"),
            _ => match raw_begin(self.rest()) {
                Some(bytes) => self.raw(bytes),
                None => self.tag(Token::BlockBegin, "%}"),
            },
        }
    }

    fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.tokens.push((Token::Text(text.into()), self.line));
        }
    }

    fn comment(&mut self) -> Result<(), TemplateError> {
        let Some(length) = self.rest().find("#}") else {
            return self.fail("a comment is not closed with #}");
        };
        let sign = self.rest()[..length].chars().next_back();
        self.advance(length + 2);
        self.after_tag(sign, true);
        Ok(())
    }

    /// Drops the whitespace that a tag's end drops.
    fn after_tag(&mut self, sign: Option<char>, trims_newline: bool) {
        let rest = self.rest();
        let dropped = match sign {
            Some('-') => rest.len() - rest.trim_start().len(),
            Some('+') => 0,
            _ => usize::from(trims_newline && rest.starts_with('\n')),
        };
        self.advance(dropped);
    }

    /// Text up to `endraw`, taken as it is; `begin` is the length of what follows `{%`.
    fn raw(&mut self, begin: usize) -> Result<(), TemplateError> {
        let sign = self.rest()[..begin - 2].chars().next_back();
        self.advance(begin);
        self.after_tag(sign, true);
        let rest = self.rest();
        for (length, _) in rest.match_indices("{%") {
            let tag = &rest[length + 2..];
            let inner = tag.trim_start_matches(['-', '+']);
            if let Some(after) = inner.trim_start().strip_prefix("endraw")
                && let Some(end) = after.find("%}")
                && after[..end].trim().trim_matches(['-', '+']).is_empty()
            {
                let text = if tag.starts_with('-') {
                    rest[..length].trim_end()
                } else {
                    &rest[..length]
                };
                self.push_text(text);
                let sign = after[..end].chars().next_back();
                self.advance(rest.len() - after.len() + end + 2);
                self.after_tag(sign, true);
                return Ok(());
            }
        }
        self.fail("a raw block is not closed with {% endraw %}")
    }

    fn tag(&mut self, begin: Token, end: &'static str) -> Result<(), TemplateError> {
        self.tokens.push((begin, self.line));
        let mut open = 0_usize;
        loop {
            let space = self.rest().len() - self.rest().trim_start().len();
            self.advance(space);
            let rest = self.rest();
            if rest.is_empty() {
                return self.fail(format!("a tag is not closed with {end}"));
            }
            if open == 0 {
                let sign = rest.chars().next().filter(|sign| matches!(sign, '-' | '+'));
                let signed = sign.map_or(0, char::len_utf8);
                if rest[signed..].starts_with(end) {
                    self.tokens.push((Token::TagEnd, self.line));
                    self.advance(signed + end.len());
                    self.after_tag(sign, end == "%}");
                    return Ok(());
                }
            }
            let line = self.line;
            let token = self.expression_token()?;
            match token {
                Token::Op("(" | "[" | "{") => open += 1,
                Token::Op(")" | "]" | "}") => open = open.saturating_sub(1),
                _ => (),
            }
            self.tokens.push((token, line));
        }
    }

    fn expression_token(&mut self) -> Result<Token, TemplateError> {
        let rest = self.rest();
        let first = rest.chars().next().unwrap_or(' ');
        if first == '"' || first == '\'' {
            return self.string(first);
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if first == '_' || first.is_alphabetic() {
            let end = rest
                .find(|c: char| c != '_' && !c.is_alphanumeric())
                .unwrap_or(rest.len());
            return Ok(Token::Name(self.advance(end).into()));
        }
        match OPERATORS
            .iter()
            .find(|operator| rest.starts_with(**operator))
        {
            Some(operator) => {
                self.advance(operator.len());
                Ok(Token::Op(operator))
            }
            None => self.fail(format!("unexpected character {first:?}")),
        }
    }

    fn number(&mut self) -> Result<Token, TemplateError> {
        let rest = self.rest();
        let digits = |from: usize| {
            let end = rest[from..].find(|c: char| !c.is_ascii_digit() && c != '_');
            end.map_or(rest.len(), |end| from + end)
        };
        let mut end = digits(0);
        let integer_end = end;
        if rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit())
        {
            end = digits(end + 1);
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            if rest[end + 1 + sign..].starts_with(|c: char| c.is_ascii_digit()) {
                end = digits(end + 1 + sign);
            }
        }
        let text = self.advance(end).replace('_', "");
        let token = if end == integer_end {
            text.parse().ok().map(Token::Int)
        } else {
            text.parse().ok().map(Token::Float)
        };
        token.map_or_else(|| self.fail(format!("the number {text} is too large")), Ok)
    }

    fn string(&mut self, quote: char) -> Result<Token, TemplateError> {
        let rest = self.rest();
        let mut text = String::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.advance(at + 1);
                return Ok(Token::Str(text.into()));
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some((_, escaped)) = chars.next() else {
                break;
            };
            let digits = match escaped {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            if digits == 0 {
                push_escape(&mut text, escaped);
                continue;
            }
            let code: String = chars
                .by_ref()
                .take(digits)
                .map(|(_, digit)| digit)
                .collect();
            match u32::from_str_radix(&code, 16).ok().and_then(char::from_u32) {
                Some(c) if code.len() == digits => text.push(c),
                _ => return self.fail(format!("\\{escaped}{code} is no character")),
            }
        }
        self.fail("a string is not closed")
    }
}

/// Drops the spaces between the start of the line and the tag that follows.
fn without_indent(text: &str, line_starts: bool) -> &str {
    let start = text.rfind('\n').map(|newline| newline + 1);
    match start.or(line_starts.then_some(0)) {
        Some(start) if text[start..].chars().all(char::is_whitespace) => &text[..start],
        _ => text,
    }
}

/// The length of `raw %}` and its surroundings, where a tag says so; `after` follows `{%`.
fn raw_begin(after: &str) -> Option<usize> {
    let end = after.find("%}")?;
    let inner = after[..end].trim_start().strip_prefix("raw")?;
    inner
        .trim_start()
        .trim_start_matches(['-', '+'])
        .is_empty()
        .then_some(end + 2)
}

/// What a backslash and a character mean in Python; unknown pairs stay as they are.
fn push_escape(text: &mut String, escaped: char) {
    match escaped {
        '\n' => (),
        '\\' | '\'' | '"' => text.push(escaped),
        'a' => text.push('\x07'),
        'b' => text.push('\x08'),
        'f' => text.push('\x0c'),
        'n' => text.push('\n'),
        'r' => text.push('\r'),
        't' => text.push('\t'),
        'v' => text.push('\x0b'),
        '0' => text.push('\0'),
        _ => text.extend(['\\', escaped]),
    }
}
