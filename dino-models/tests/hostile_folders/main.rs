//! Damaged and malicious Hugging Face folders: each is read or refused with a typed error, without a panic and without
//! memory beyond what its files hold and a constant.

mod config;
mod index;
mod tensors;

use dino_kernels::Compute;
use dino_models::ModelError;
use dino_models::arch::{Loader, LoaderOptions, Registry};
use peak_alloc::PeakAlloc;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What opening and building any of the tiny models may take.
const ALLOWED: usize = 16 << 20;

/// Held by every test from its first line, for the memory is counted for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder of `tests/golden`.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden")
        .join(name)
}

/// A copy of a golden folder that is thrown away at the end.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn of(golden: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(golden).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        Self(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(file), bytes).unwrap();
    }

    fn json(&self, file: &str) -> Json {
        serde_json::from_slice(&self.read(file)).unwrap()
    }

    /// Opens the folder and builds its model.
    fn load(&self) -> Result<(), ModelError> {
        static COMPUTE: OnceLock<Compute> = OnceLock::new();
        let compute = COMPUTE.get_or_init(|| Compute::new(1).unwrap());
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let registry = Registry::default();
        let result = registry.open(self.0.path()).and_then(|file| {
            let mut loader = Loader::new(&file, compute, LoaderOptions::default());
            registry.build(&mut loader).map(|_| ())
        });
        let taken = MEMORY.peak_usage().saturating_sub(before);
        assert!(taken <= ALLOWED, "{taken} bytes taken");
        result
    }

    /// What the error of loading says; it must name the folder.
    #[track_caller]
    fn refused(&self) -> String {
        let error = self.load().expect_err("a damaged folder was accepted");
        let told = error.to_string();
        let name = self.0.path().to_str().unwrap();
        assert!(told.contains(name), "{told} names no file");
        told
    }
}
