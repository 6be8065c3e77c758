//! Output that follows grammars, and grammars that mean harm.

mod common;
mod default_model;
mod follows;
mod hostile;
