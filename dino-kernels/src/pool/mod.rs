//! Threads that stay hot through a forward pass and sleep between requests.
//!
//! A forward pass is some two hundred short parallel regions a token, so what counts is the cost of one
//! region: about a microsecond here. Three decisions give it:
//!
//! 1. Workers *spin* for some microseconds after a region, then yield, then park. Within a pass the next
//!    region finds them awake; between requests they cost nothing.
//! 2. Chunks are dealt out in runs and *claimed* from atomic counters, the caller being worker 0. Each thread walks its own
//!    run, then helps with the others': a late worker claims fewer.
//! 3. Joining is *optional*. A region is over when all chunks are claimed and every worker that had entered
//!    has left; one that slept through it is not waited for. So threads in excess of the cores, or a worker
//!    that the operating system has put aside, slow a region little and never stop it.
//!
//! [`region`] holds the protocol and the reasons why it is sound.

mod allowance;
mod disjoint;
mod region;
mod threads;

pub use disjoint::DisjointMut;
pub use threads::{ThreadPool, Waiting};
