//! Which ways of the kernels are the fastest on this machine, measured once and kept from one process to the next.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use dino_kernels::{Compute, Panels, Tuning, processor};
use dino_models::FileBeside;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;

use crate::default_model;

/// Changes with what the file means.
const FORMAT: u32 = 1;
/// A file that is longer is none of these.
const LONGEST: u64 = 1 << 12;

/// Where tunings are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Keep {
    /// In the folder of the default model.
    #[default]
    Cache,
    At(PathBuf),
    Nowhere,
}

/// The tuning of one model's kernels and threads.
pub(super) struct Tuned {
    /// `None` where none is kept.
    path: Option<PathBuf>,
    /// Filled once the kernels use a tuning that was measured, now or by an earlier process.
    done: OnceLock<()>,
}

/// What a tuning is for: on anything else it is worth nothing.
#[derive(Serialize, Deserialize, PartialEq)]
struct Purpose {
    format: u32,
    version: String,
    processor: String,
    isa: String,
    threads: usize,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    purpose: Purpose,
    task_work: usize,
    panels: Option<KeptPanels>,
}

#[derive(Serialize, Deserialize)]
struct KeptPanels {
    from: usize,
    from_blocks: usize,
    bytes: usize,
}

impl Tuned {
    /// Uses what an earlier process measured, if there is such.
    pub(super) fn read(keep: &Keep, compute: &Compute) -> Self {
        let path = match keep {
            Keep::Nowhere => None,
            Keep::At(path) => Some(path.clone()),
            Keep::Cache => default_model::cache_folder()
                .map(|folder| folder.join(Purpose::of(compute).file_name())),
        };
        let done = OnceLock::new();
        let kept = path.as_ref().and_then(|path| read(path, compute));
        if kept.is_some_and(|tuning| compute.set_tuning(tuning)) {
            let _ = done.set(());
        }
        Self { path, done }
    }

    /// Whether there is nothing left to measure.
    pub(super) fn is_done(&self) -> bool {
        self.done.get().is_some()
    }

    /// Measures and keeps the result, unless that was done before. A file that cannot be written only costs the next process
    /// the time to measure again.
    pub(super) fn measure(&self, compute: &Compute) {
        self.done.get_or_init(|| {
            // Without memory for a few MB there are other worries.
            let Ok(tuning) = Tuning::measure(compute) else {
                return;
            };
            compute.set_tuning(tuning);
            let kept = self.path.as_ref().map(|path| write(path, compute, tuning));
            if let Some(Err(error)) = kept {
                tracing::debug!(%error, "the kernels' tuning could not be kept");
            }
        });
    }
}

fn read(path: &PathBuf, compute: &Compute) -> Option<Tuning> {
    let length = fs::metadata(path).ok()?.len();
    let bytes = (length <= LONGEST).then(|| fs::read(path).ok())??;
    let kept: Kept = serde_json::from_slice(&bytes).ok()?;
    (kept.purpose == Purpose::of(compute)).then(|| Tuning {
        task_work: kept.task_work,
        panels: kept.panels.map(|panels| Panels {
            from: panels.from,
            from_blocks: panels.from_blocks,
            bytes: panels.bytes,
        }),
    })
}

fn write(path: &PathBuf, compute: &Compute, tuning: Tuning) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let kept = Kept {
        purpose: Purpose::of(compute),
        task_work: tuning.task_work,
        panels: tuning.panels.map(|panels| KeptPanels {
            from: panels.from,
            from_blocks: panels.from_blocks,
            bytes: panels.bytes,
        }),
    };
    let mut file = FileBeside::create(path)?;
    file.write_all(&serde_json::to_vec_pretty(&kept)?)?;
    file.commit()
}

impl Purpose {
    fn of(compute: &Compute) -> Self {
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            processor: processor(),
            isa: compute.kernels.isa().to_string(),
            threads: compute.pool.threads(),
        }
    }

    /// Of its own for each machine: homes may be shared by many.
    fn file_name(&self) -> String {
        let Self {
            format,
            version,
            processor,
            isa,
            threads,
        } = self;
        let sum = Sha256::digest(format!("{format} {version} {processor} {isa} {threads}"));
        let short: String = sum
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("tuning-{short}.json")
    }
}
