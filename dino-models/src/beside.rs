//! Files that appear whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file that is written beside its place and takes it when it is complete and on the disk.
///
/// Dropping it before [`FileBeside::commit`] removes what was written; what stood in the place stays.
///
/// ```
/// use dino_models::FileBeside;
/// use std::io::Write;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("answer.txt");
/// let mut file = FileBeside::create(&path)?;
/// write!(file, "{}", 6 * 7)?;
/// assert!(!path.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"42");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FileBeside {
    path: PathBuf,
    partial: PathBuf,
    /// `None` once it is closed.
    file: Option<BufWriter<File>>,
}

/// Tells files apart that one process writes at the same time.
static COUNT: AtomicU64 = AtomicU64::new(0);

impl FileBeside {
    /// Starts the file that will be `path`.
    ///
    /// # Errors
    /// If its neighbour cannot be made.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let mut name = path.file_name().unwrap_or_default().to_owned();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".partial-{}-{count}", std::process::id()));
        let partial = path.with_file_name(name);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&partial)?;
        Ok(Self {
            path: path.to_owned(),
            partial,
            file: Some(BufWriter::new(file)),
        })
    }

    /// Where the bytes are until the file takes its place.
    pub(crate) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Replaces the first bytes.
    pub(crate) fn rewrite_start(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rewrite(0, bytes)
    }

    /// Replaces the bytes from `start` on.
    pub(crate) fn rewrite(&mut self, start: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.open()?;
        file.seek(SeekFrom::Start(start))?;
        file.write_all(bytes)?;
        file.seek(SeekFrom::End(0)).map(drop)
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// If the rest cannot be written or the file not be moved; then nothing is left of it.
    pub fn commit(mut self) -> io::Result<()> {
        let file = self.file.take().ok_or(io::ErrorKind::NotFound)?;
        file.into_inner()?.sync_all()?;
        std::fs::rename(&self.partial, &self.path)
    }

    fn open(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.file
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Write for FileBeside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open()?.write(bytes)
    }

    /// Hands to the system what was written, so that others who open the file see it.
    fn flush(&mut self) -> io::Result<()> {
        self.open()?.flush()
    }
}

impl Drop for FileBeside {
    fn drop(&mut self) {
        drop(self.file.take());
        // After `commit` there is none; before it, a file that cannot be removed harms nobody.
        let _ = std::fs::remove_file(&self.partial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut first = FileBeside::create(&path).unwrap();
        let mut second = FileBeside::create(&path).unwrap();
        first.write_all(b"12345").unwrap();
        first.rewrite_start(b"ab").unwrap();
        first.write_all(b"6").unwrap();
        second.write_all(b"other").unwrap();
        assert!(!path.exists());
        first.commit().unwrap();
        drop(second);
        assert_eq!(std::fs::read(&path).unwrap(), b"ab3456");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
