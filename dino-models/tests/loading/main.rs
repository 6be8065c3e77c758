//! Loading: the packed file, and where weights are while a model runs.

mod common;
mod packed_file;
mod residency;
