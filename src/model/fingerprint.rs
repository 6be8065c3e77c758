//! What tells one model from another.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Model;

/// Places of a file that are looked at.
const SAMPLES: u64 = 64;
/// Bytes of each.
const SAMPLE: u64 = 4096;

impl Model {
    /// A SHA-256 of what decides the keys and values that the model makes: its metadata, samples of its files, the type
    /// of its cache. Weights that were tuned differ in nearly every sample.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut sum = Hasher(Sha256::new());
        for (key, value) in self.metadata().iter() {
            sum.0.update(key);
            // Hashing does not fail.
            let _ = serde_json::to_writer(&mut sum, value);
        }
        sum.0.update(format!("{:?}", self.new_cache().layout()));
        for file in files(self.metadata().file()) {
            // Of a model that did not come from a file, or whose file is gone, the metadata speaks alone.
            let _ = sample(&file, &mut sum.0);
        }
        sum.0.finalize().into()
    }
}

/// The file, or those of a folder that hold weights.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return vec![path.to_owned()];
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let is_weights = |path: &PathBuf| path.extension().is_some_and(|end| end == "safetensors");
    let mut files: Vec<_> = paths.filter(is_weights).collect();
    files.sort();
    files
}

fn sample(path: &Path, sum: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    sum.update(len.to_le_bytes());
    let mut bytes = Vec::new();
    for number in 0..SAMPLES {
        file.seek(SeekFrom::Start(len / SAMPLES * number))?;
        bytes.clear();
        (&file).take(SAMPLE).read_to_end(&mut bytes)?;
        sum.update(&bytes);
    }
    Ok(())
}

struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
