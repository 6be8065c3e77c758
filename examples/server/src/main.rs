//! An HTTP server for one model that speaks OpenAI's API; `README.md` beside it says how to use it.
//!
//! A request goes this way:
//!
//! 1. [`router`] checks the key and the size of the body, [`body`] reads it;
//! 2. [`api`] turns it into requests of the engine ([`plan`]) and their tokens into answers, whole or as events;
//! 3. a client that goes away drops the streams of its request, which cancels it.

#![forbid(unsafe_code)]

mod api;
mod body;
mod connections;
mod cors;
mod error;
mod options;
mod plan;
mod router;
mod serve;
mod served;
mod speculation;
mod state;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match serve::run(options::Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dino-server: {error}");
            ExitCode::FAILURE
        }
    }
}
