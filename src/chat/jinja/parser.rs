//! Tokens to statements.

use std::sync::Arc;

use super::TemplateError;
use super::ast::{Arguments, For, Macro, Parameter, Statement, StatementKind, Target};
use super::lexer::{Located, Token, tokenize};

/// The largest source: ten times the longest templates in use.
const MAX_SOURCE: usize = 1 << 18;

/// How deep the parser recurses: a level is some twenty frames, one for each precedence.
const MAX_NESTING: usize = 64;

/// A parsed template.
#[derive(Debug)]
pub(in crate::chat) struct Template {
    pub(super) body: Vec<Statement>,
}

impl Template {
    /// Parses a source.
    pub(in crate::chat) fn parse(source: &str) -> Result<Self, TemplateError> {
        if source.len() > MAX_SOURCE {
            return Err(TemplateError::TooLarge {
                bytes: source.len(),
                limit: MAX_SOURCE,
            });
        }
        let mut parser = Parser {
            tokens: tokenize(source)?,
            at: 0,
            depth: 0,
            loops: 0,
        };
        let (body, end) = parser.body(&[])?;
        debug_assert!(end.is_empty());
        Ok(Self { body })
    }
}

/// Tokens and the place in them.
pub(super) struct Parser {
    pub(super) tokens: Vec<Located>,
    pub(super) at: usize,
    pub(super) depth: usize,
    loops: usize,
}

/// Looking at tokens.
impl Parser {
    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    pub(super) fn line(&self) -> u32 {
        let last = self.tokens.get(self.at).or(self.tokens.last());
        last.map_or(1, |(_, line)| *line)
    }

    pub(super) fn fail<T>(&self, message: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError::Syntax {
            line: self.line(),
            message: message.into(),
        })
    }

    pub(super) fn unexpected<T>(&self, wanted: &str) -> Result<T, TemplateError> {
        match self.peek() {
            Some(token) => self.fail(format!("expected {wanted}, found {token:?}")),
            None => self.fail(format!("expected {wanted}, found the end of the template")),
        }
    }

    pub(super) fn is_op(&self, operator: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(found)) if *found == operator)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if **found == *name)
    }

    pub(super) fn skip_op(&mut self, operator: &str) -> bool {
        let found = self.is_op(operator);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_op(&mut self, operator: &str) -> Result<(), TemplateError> {
        if self.skip_op(operator) {
            Ok(())
        } else {
            self.unexpected(operator)
        }
    }

    pub(super) fn name(&mut self) -> Result<Arc<str>, TemplateError> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    fn tag_end(&mut self) -> Result<(), TemplateError> {
        if self.peek() == Some(&Token::TagEnd) {
            self.at += 1;
            return Ok(());
        }
        self.unexpected("the end of the tag")
    }

    /// Guards every recursion of the parser.
    pub(super) fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<T, TemplateError> {
        if self.depth == MAX_NESTING {
            return Err(TemplateError::TooDeep {
                line: self.line(),
                limit: MAX_NESTING,
            });
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }
}

/// Statements.
impl Parser {
    /// Statements up to a tag that begins with one of `ends` (the template's end, if there are none), and which.
    fn body(
        &mut self,
        ends: &[&'static str],
    ) -> Result<(Vec<Statement>, &'static str), TemplateError> {
        let mut statements = Vec::new();
        loop {
            let line = self.line();
            let token = self.peek().cloned();
            self.at += 1;
            let kind = match token {
                None if ends.is_empty() => return Ok((statements, "")),
                None => {
                    return self.fail(format!(
                        "the template ends where {} is missing",
                        ends.join(" or ")
                    ));
                }
                Some(Token::Text(text)) => StatementKind::Text(text),
                Some(Token::PrintBegin) => {
                    let printed = self.expression_or_tuple()?;
                    self.tag_end()?;
                    StatementKind::Print(printed)
                }
                Some(_) => {
                    let tag = self.name()?;
                    if let Some(end) = ends.iter().find(|end| ***end == *tag) {
                        return Ok((statements, end));
                    }
                    self.nested(|parser| parser.statement(&tag))?
                }
            };
            statements.push(Statement { line, kind });
        }
    }

    /// A body whose end tag holds nothing more.
    fn closed_body(&mut self, end: &'static str) -> Result<Vec<Statement>, TemplateError> {
        self.tag_end()?;
        let (body, _) = self.body(&[end])?;
        self.tag_end()?;
        Ok(body)
    }

    fn statement(&mut self, tag: &str) -> Result<StatementKind, TemplateError> {
        match tag {
            "if" => self.if_statement(),
            "for" => self.for_statement(),
            "set" => self.set_statement(),
            "with" => self.with_statement(),
            // Marks what the model wrote, for training; rendering sees only its scope.
            "generation" => Ok(StatementKind::With(
                Vec::new(),
                self.closed_body("endgeneration")?,
            )),
            "macro" => {
                let name = self.name()?;
                let parameters = self.parameters()?;
                let body = self.without_loops(|parser| parser.closed_body("endmacro"))?;
                Ok(StatementKind::Macro(Arc::new(Macro {
                    name,
                    parameters,
                    body,
                })))
            }
            "filter" => {
                let mut filters = vec![self.filter_call()?];
                while self.skip_op("|") {
                    filters.push(self.filter_call()?);
                }
                Ok(StatementKind::FilterBlock(
                    filters,
                    self.closed_body("endfilter")?,
                ))
            }
            "break" | "continue" if self.loops == 0 => {
                self.fail(format!("{tag} stands outside a loop"))
            }
            "break" => self.tag_end().map(|()| StatementKind::Break),
            "continue" => self.tag_end().map(|()| StatementKind::Continue),
            _ => self.fail(format!("unknown tag {tag:?}")),
        }
    }

    fn without_loops<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<T, TemplateError> {
        let loops = std::mem::take(&mut self.loops);
        let parsed = parse(self);
        self.loops = loops;
        parsed
    }

    fn if_statement(&mut self) -> Result<StatementKind, TemplateError> {
        let mut branches = Vec::new();
        loop {
            let condition = self.expression_or_tuple()?;
            self.tag_end()?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            branches.push((condition, body));
            if end == "elif" {
                continue;
            }
            let otherwise = if end == "else" {
                self.closed_body("endif")?
            } else {
                Vec::new()
            };
            if end == "endif" {
                self.tag_end()?;
            }
            return Ok(StatementKind::If {
                branches,
                otherwise,
            });
        }
    }

    fn for_statement(&mut self) -> Result<StatementKind, TemplateError> {
        let target = self.target()?;
        if !self.skip_name("in") {
            return self.unexpected("in");
        }
        let iterable = self.tuple_without_condition()?;
        let filter = if self.skip_name("if") {
            Some(self.expression()?)
        } else {
            None
        };
        if self.is_name("recursive") {
            return self.fail("recursive loops are not supported; use a macro that calls itself");
        }
        self.tag_end()?;
        self.loops += 1;
        let (body, end) = self.body(&["else", "endfor"])?;
        self.loops -= 1;
        let otherwise = if end == "else" {
            self.closed_body("endfor")?
        } else {
            self.tag_end()?;
            Vec::new()
        };
        Ok(StatementKind::For(Box::new(For {
            target,
            iterable,
            filter,
            body,
            otherwise,
        })))
    }

    fn set_statement(&mut self) -> Result<StatementKind, TemplateError> {
        let target = self.target()?;
        if self.skip_op("=") {
            let value = self.expression_or_tuple()?;
            self.tag_end()?;
            return Ok(StatementKind::Set(target, value));
        }
        let mut filters = Vec::new();
        while self.skip_op("|") {
            filters.push(self.filter_call()?);
        }
        Ok(StatementKind::SetBlock(
            target,
            filters,
            self.closed_body("endset")?,
        ))
    }

    fn with_statement(&mut self) -> Result<StatementKind, TemplateError> {
        let mut bindings = Vec::new();
        while self.peek() != Some(&Token::TagEnd) {
            if !bindings.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.single_target()?;
            self.expect_op("=")?;
            bindings.push((target, self.expression()?));
        }
        Ok(StatementKind::With(bindings, self.closed_body("endwith")?))
    }

    fn parameters(&mut self) -> Result<Vec<Parameter>, TemplateError> {
        self.expect_op("(")?;
        let mut parameters = Vec::new();
        while !self.skip_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
            }
            let name = self.name()?;
            let default = if self.skip_op("=") {
                Some(self.expression()?)
            } else {
                None
            };
            parameters.push((name, default));
        }
        Ok(parameters)
    }

    /// `name`, or `name(arguments)`.
    pub(super) fn filter_call(&mut self) -> Result<(Arc<str>, Arguments), TemplateError> {
        let name = self.name()?;
        let arguments = if self.is_op("(") {
            self.arguments()?
        } else {
            Arguments::default()
        };
        Ok((name, arguments))
    }

    fn target(&mut self) -> Result<Target, TemplateError> {
        let first = self.single_target()?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.skip_op(",") {
            if matches!(self.peek(), Some(Token::Name(name)) if **name != *"in") {
                targets.push(self.single_target()?);
            }
        }
        Ok(Target::Tuple(targets))
    }

    fn single_target(&mut self) -> Result<Target, TemplateError> {
        if self.skip_op("(") {
            let target = self.nested(Self::target)?;
            self.expect_op(")")?;
            return Ok(target);
        }
        let name = self.name()?;
        if ["true", "false", "none", "True", "False", "None"].contains(&&*name) {
            return self.fail(format!("{name} cannot be assigned to"));
        }
        if self.skip_op(".") {
            return Ok(Target::Attribute(name, self.name()?));
        }
        Ok(Target::Name(name))
    }
}
