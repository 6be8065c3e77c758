//! Tokens to expressions, with Jinja's precedence: condition, or, and, not, comparison, sum, `~`, product, power,
//! sign, postfix, filters and tests.

use super::TemplateError;
use super::ast::{Arguments, Comparison, Expr, Kind, MAX_HEIGHT};
use super::lexer::Token;
use super::parser::Parser;

type Parsed = Result<Expr, TemplateError>;

impl Parser {
    /// An expression.
    pub(super) fn expression(&mut self) -> Parsed {
        self.nested(Self::condition)
    }

    /// An expression, or several with commas between, which are a tuple.
    pub(super) fn expression_or_tuple(&mut self) -> Parsed {
        self.tuple_of(Self::expression)
    }

    /// What a loop iterates over: an `if` after it is the loop's.
    pub(super) fn tuple_without_condition(&mut self) -> Parsed {
        self.tuple_of(|parser| parser.nested(Self::or))
    }

    fn tuple_of(&mut self, mut item: impl FnMut(&mut Self) -> Parsed) -> Parsed {
        let first = item(self)?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_op(",") {
            if self.is_op(")") || matches!(self.peek(), Some(Token::TagEnd)) {
                break;
            }
            items.push(item(self)?);
        }
        self.node(Kind::Tuple(items))
    }

    /// Wraps a node and refuses one that evaluation could not recurse over.
    fn node(&self, kind: Kind) -> Parsed {
        let expression = Expr::new(kind);
        if expression.height > MAX_HEIGHT {
            return Err(TemplateError::TooDeep {
                line: self.line(),
                limit: MAX_HEIGHT,
            });
        }
        Ok(expression)
    }

    fn condition(&mut self) -> Parsed {
        let mut then = self.or()?;
        while self.skip_name("if") {
            let test = Box::new(self.or()?);
            let otherwise = if self.skip_name("else") {
                Some(Box::new(self.expression()?))
            } else {
                None
            };
            let then_branch = Box::new(then);
            then = self.node(Kind::Condition {
                test,
                then: then_branch,
                otherwise,
            })?;
        }
        Ok(then)
    }

    fn or(&mut self) -> Parsed {
        let mut left = self.and()?;
        while self.skip_name("or") {
            let right = self.and()?;
            left = self.node(Kind::Or(Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed {
        let mut left = self.not()?;
        while self.skip_name("and") {
            let right = self.not()?;
            left = self.node(Kind::And(Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Parsed {
        if self.skip_name("not") {
            let inner = self.nested(Self::not)?;
            return self.node(Kind::Not(Box::new(inner)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Parsed {
        let first = self.sum()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison() {
            rest.push((comparison, self.sum()?));
        }
        if rest.is_empty() {
            Ok(first)
        } else {
            self.node(Kind::Compare(Box::new(first), rest))
        }
    }

    fn comparison(&mut self) -> Option<Comparison> {
        const OPERATORS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<", Comparison::Less),
            ("<=", Comparison::LessEqual),
            (">", Comparison::Greater),
            (">=", Comparison::GreaterEqual),
        ];
        if let Some((_, comparison)) = OPERATORS.iter().find(|(operator, _)| self.is_op(operator)) {
            self.at += 1;
            return Some(*comparison);
        }
        if self.skip_name("in") {
            return Some(Comparison::In);
        }
        let follows = self.tokens.get(self.at + 1);
        let not_in = self.is_name("not")
            && matches!(follows, Some((Token::Name(name), _)) if **name == *"in");
        self.at += 2 * usize::from(not_in);
        not_in.then_some(Comparison::NotIn)
    }

    fn sum(&mut self) -> Parsed {
        self.arithmetic(&["+", "-"], Self::concat)
    }

    fn concat(&mut self) -> Parsed {
        let first = self.product()?;
        if !self.is_op("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.skip_op("~") {
            parts.push(self.product()?);
        }
        self.node(Kind::Concat(parts))
    }

    fn product(&mut self) -> Parsed {
        self.arithmetic(&["*", "/", "//", "%"], Self::power)
    }

    fn power(&mut self) -> Parsed {
        self.arithmetic(&["**"], |parser| parser.unary(true))
    }

    fn arithmetic(
        &mut self,
        operators: &[&'static str],
        operand: fn(&mut Self) -> Parsed,
    ) -> Parsed {
        let mut left = operand(self)?;
        while let Some(operator) = operators.iter().find(|operator| self.is_op(operator)) {
            self.at += 1;
            let right = operand(self)?;
            left = self.node(Kind::Arithmetic(operator, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn unary(&mut self, with_filters: bool) -> Parsed {
        let signed = if self.skip_op("-") {
            let inner = self.nested(|parser| parser.unary(false))?;
            self.node(Kind::Negative(Box::new(inner)))?
        } else if self.skip_op("+") {
            let inner = self.nested(|parser| parser.unary(false))?;
            self.node(Kind::Positive(Box::new(inner)))?
        } else {
            self.primary()?
        };
        let subject = self.postfix(signed)?;
        if with_filters {
            self.filters(subject)
        } else {
            Ok(subject)
        }
    }

    fn primary(&mut self) -> Parsed {
        let Some(token) = self.peek().cloned() else {
            return self.unexpected("an expression");
        };
        self.at += 1;
        let kind = match token {
            Token::Int(value) => Kind::Int(value),
            Token::Float(value) => Kind::Float(value),
            Token::Str(text) => self.string(&text),
            Token::Name(name) => match &*name {
                "true" | "True" => Kind::Bool(true),
                "false" | "False" => Kind::Bool(false),
                "none" | "None" => Kind::None,
                _ => Kind::Name(name),
            },
            Token::Op("(") => return self.parenthesised(),
            Token::Op("[") => Kind::List(self.items_until("]")?),
            Token::Op("{") => self.dict()?,
            _ => {
                self.at -= 1;
                return self.unexpected("an expression");
            }
        };
        self.node(kind)
    }

    /// Neighbouring strings are one.
    fn string(&mut self, first: &str) -> Kind {
        let mut text = first.to_string();
        while let Some(Token::Str(more)) = self.peek() {
            text.push_str(more);
            self.at += 1;
        }
        Kind::Str(text.into())
    }

    fn parenthesised(&mut self) -> Parsed {
        if self.skip_op(")") {
            return self.node(Kind::Tuple(Vec::new()));
        }
        let inner = self.expression_or_tuple()?;
        self.expect_op(")")?;
        Ok(inner)
    }

    fn items_until(&mut self, end: &str) -> Result<Vec<Expr>, TemplateError> {
        let mut items = Vec::new();
        while !self.skip_op(end) {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(end) {
                    break;
                }
            }
            items.push(self.expression()?);
        }
        Ok(items)
    }

    fn dict(&mut self) -> Result<Kind, TemplateError> {
        let mut entries = Vec::new();
        while !self.skip_op("}") {
            if !entries.is_empty() {
                self.expect_op(",")?;
                if self.skip_op("}") {
                    break;
                }
            }
            let key = self.expression()?;
            self.expect_op(":")?;
            entries.push((key, self.expression()?));
        }
        Ok(Kind::Dict(entries))
    }

    fn postfix(&mut self, mut subject: Expr) -> Parsed {
        loop {
            if self.skip_op(".") {
                subject = match self.peek().cloned() {
                    Some(Token::Int(index)) => {
                        self.at += 1;
                        let index = self.node(Kind::Int(index))?;
                        self.node(Kind::Item(Box::new(subject), Box::new(index)))?
                    }
                    _ => {
                        let name = self.name()?;
                        self.node(Kind::Attribute(Box::new(subject), name))?
                    }
                };
            } else if self.skip_op("[") {
                subject = self.subscript(subject)?;
            } else if self.is_op("(") {
                let arguments = self.arguments()?;
                subject = self.node(Kind::Call(Box::new(subject), arguments))?;
            } else {
                return Ok(subject);
            }
        }
    }

    fn subscript(&mut self, subject: Expr) -> Parsed {
        let mut bounds = [None, None, None];
        let mut colons = 0;
        while !self.is_op("]") {
            if self.skip_op(":") {
                colons += 1;
                if colons > 2 {
                    return self.fail("a slice has at most two colons");
                }
            } else if bounds[colons].is_none() {
                bounds[colons] = Some(Box::new(self.expression()?));
            } else {
                return self.unexpected("]");
            }
        }
        self.expect_op("]")?;
        let subject = Box::new(subject);
        match (colons, bounds) {
            (0, [Some(index), None, None]) => self.node(Kind::Item(subject, index)),
            (0, _) => self.fail("a subscript is empty"),
            (_, bounds) => self.node(Kind::Slice(subject, bounds)),
        }
    }

    /// `(a, b, name=c)`
    pub(super) fn arguments(&mut self) -> Result<Arguments, TemplateError> {
        self.expect_op("(")?;
        let mut arguments = Arguments::default();
        let mut first = true;
        while !self.skip_op(")") {
            if !first {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            first = false;
            let named = matches!(self.tokens.get(self.at + 1), Some((Token::Op("="), _)));
            if named {
                let name = self.name()?;
                self.expect_op("=")?;
                arguments.named.push((name, self.expression()?));
            } else if arguments.named.is_empty() {
                arguments.positional.push(self.expression()?);
            } else {
                return self.fail("an unnamed argument follows a named one");
            }
        }
        Ok(arguments)
    }

    fn filters(&mut self, mut subject: Expr) -> Parsed {
        loop {
            if self.skip_op("|") {
                let (name, arguments) = self.filter_call()?;
                subject = self.node(Kind::Filter(Box::new(subject), name, arguments))?;
            } else if self.skip_name("is") {
                subject = self.test(subject)?;
            } else if self.is_op("(") {
                subject = self.postfix(subject)?;
            } else {
                return Ok(subject);
            }
        }
    }

    fn test(&mut self, subject: Expr) -> Parsed {
        let negated = self.skip_name("not");
        let name = self.name()?;
        let arguments = if self.is_op("(") {
            self.arguments()?
        } else if self.begins_test_argument() {
            let argument = self.primary()?;
            let positional = vec![self.postfix(argument)?];
            Arguments {
                positional,
                named: Vec::new(),
            }
        } else {
            Arguments::default()
        };
        let test = self.node(Kind::Test(Box::new(subject), name, arguments))?;
        if negated {
            self.node(Kind::Not(Box::new(test)))
        } else {
            Ok(test)
        }
    }

    fn begins_test_argument(&self) -> bool {
        match self.peek() {
            Some(Token::Name(name)) => {
                !["else", "or", "and", "is", "if", "in", "not"].contains(&&**name)
            }
            Some(Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Op("[" | "{")) => true,
            _ => false,
        }
    }
}
