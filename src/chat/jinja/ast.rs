//! What a template says, as a tree.

use std::sync::Arc;

/// The greatest height of an expression and of nested statements.
pub(super) const MAX_HEIGHT: usize = 200;

/// An expression and its height, which bounds every recursion over it.
#[derive(Debug)]
pub(super) struct Expr {
    pub(super) kind: Kind,
    pub(super) height: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attribute(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    /// Subject and start, stop, step.
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Call(Box<Expr>, Arguments),
    Filter(Box<Expr>, Arc<str>, Arguments),
    Test(Box<Expr>, Arc<str>, Arguments),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    Arithmetic(&'static str, Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Condition {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Option<Box<Expr>>,
    },
}

/// Arguments of a call, a filter or a test.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) positional: Vec<Expr>,
    pub(super) named: Vec<(Arc<str>, Expr)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
}

impl Expr {
    /// Measures and wraps.
    pub(super) fn new(kind: Kind) -> Self {
        let height = 1 + kind.children_height();
        Self { kind, height }
    }
}

impl Kind {
    fn children_height(&self) -> usize {
        fn highest<'e>(expressions: impl IntoIterator<Item = &'e Expr>) -> usize {
            expressions
                .into_iter()
                .map(|expression| expression.height)
                .max()
                .unwrap_or(0)
        }
        fn arguments(arguments: &Arguments) -> usize {
            highest(&arguments.positional)
                .max(highest(arguments.named.iter().map(|(_, value)| value)))
        }
        match self {
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Str(_)
            | Self::Name(_) => 0,
            Self::List(items) | Self::Tuple(items) | Self::Concat(items) => highest(items),
            Self::Dict(entries) => highest(entries.iter().flat_map(|(key, value)| [key, value])),
            Self::Attribute(subject, _) => subject.height,
            Self::Not(inner) | Self::Negative(inner) | Self::Positive(inner) => inner.height,
            Self::Item(a, b) | Self::Arithmetic(_, a, b) | Self::And(a, b) | Self::Or(a, b) => {
                a.height.max(b.height)
            }
            Self::Slice(subject, bounds) => subject
                .height
                .max(highest(bounds.iter().flatten().map(Box::as_ref))),
            Self::Call(subject, list)
            | Self::Filter(subject, _, list)
            | Self::Test(subject, _, list) => subject.height.max(arguments(list)),
            Self::Compare(first, rest) => first
                .height
                .max(highest(rest.iter().map(|(_, expression)| expression))),
            Self::Condition {
                test,
                then,
                otherwise,
            } => {
                let both = test.height.max(then.height);
                both.max(otherwise.as_ref().map_or(0, |expression| expression.height))
            }
        }
    }
}

/// A statement and its line.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) line: u32,
    pub(super) kind: StatementKind,
}

#[derive(Debug)]
pub(super) enum StatementKind {
    Text(Arc<str>),
    Print(Expr),
    Set(Target, Expr),
    /// Captures the body; the filters apply to it.
    SetBlock(Target, Vec<(Arc<str>, Arguments)>, Vec<Statement>),
    If {
        branches: Vec<(Expr, Vec<Statement>)>,
        otherwise: Vec<Statement>,
    },
    For(Box<For>),
    With(Vec<(Target, Expr)>, Vec<Statement>),
    Macro(Arc<Macro>),
    FilterBlock(Vec<(Arc<str>, Arguments)>, Vec<Statement>),
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) iterable: Expr,
    pub(super) filter: Option<Expr>,
    pub(super) body: Vec<Statement>,
    pub(super) otherwise: Vec<Statement>,
}

/// What an assignment assigns to.
#[derive(Debug)]
pub(super) enum Target {
    Name(Arc<str>),
    /// An attribute of a namespace.
    Attribute(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: Arc<str>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Vec<Statement>,
}

/// A name and its default.
pub(super) type Parameter = (Arc<str>, Option<Expr>);
