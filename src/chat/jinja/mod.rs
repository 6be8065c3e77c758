//! The template language of chat templates: Jinja as Hugging Face's `apply_chat_template` sets it up.
//!
//! Templates come inside downloaded model files, so they are hostile input, and they must render to the byte as Python
//! renders them. General engines give neither: they let a template build values that take exponential time to print
//! or overflow the stack when dropped, and print by rules of their own. This one is an interpreter of the subset that
//! chat templates use, where
//!
//! - every step, byte and visited element is paid for from a [`Budget`](budget::Budget) that the input's size fixes;
//! - every container knows its depth and its expanded weight, so that walking it is paid for before it starts, and no
//!   recursion is deeper than a constant;
//! - values, methods and printing are Python's;
//! - every text knows which of its bytes come from outside the template ([`text`]), and the prompt says so.
//!
//! A source goes through [`lexer`], [`parser`] (statements) and [`expression`], then [`interpreter`] runs it.

mod arguments;
mod ast;
mod budget;
mod error;
mod evaluate;
mod expression;
mod filters;
mod functions;
mod interpreter;
mod json;
mod lexer;
mod methods;
mod operators;
mod parser;
mod python;
mod sequences;
mod strftime;
mod tests;
mod text;
mod value;

pub use error::TemplateError;
pub(super) use interpreter::{Variables, render};
pub(super) use parser::Template;
