//! How many threads a model runs on.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::available_parallelism;

/// How many threads a model runs on, the calling one among them. A number converts to it, with 0 for [`Self::Auto`].
///
/// ```
/// use dino_llm::{Model, Threads};
///
/// let builder = Model::builder().threads(Threads::Physical);
/// # drop(builder);
/// assert_eq!(Threads::from(0), Threads::Auto);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Threads {
    /// One for each logical processor that this process may use: affinity and quota of its control group counted. When these
    /// change while the model is in use, threads in excess rest, and come back.
    #[default]
    Auto,
    /// One for each core that this process may use, however many threads the core runs at once, and no more than its quota
    /// allows. Two threads of one core share its multipliers, so this is often as fast, and leaves room for others. Where the
    /// system does not show its cores (it does on Linux) it is as [`Self::Auto`].
    Physical,
    /// So many; 0 is as [`Self::Auto`].
    N(usize),
}

impl From<usize> for Threads {
    fn from(threads: usize) -> Self {
        match threads {
            0 => Self::Auto,
            threads => Self::N(threads),
        }
    }
}

impl Threads {
    /// As the pool takes it: 0 stands for as many as there are processors.
    pub(super) fn count(self) -> usize {
        match self {
            Self::Auto => 0,
            Self::N(threads) => threads,
            Self::Physical => {
                let quota = available_parallelism().map_or(usize::MAX, std::num::NonZero::get);
                physical_cores(Path::new("/")).map_or(0, |cores| cores.min(quota))
            }
        }
    }
}

/// Cores of which this thread may use a processor; `None` where the system does not show them. Processors of one core name
/// the same siblings.
fn physical_cores(root: &Path) -> Option<usize> {
    let mut cores = BTreeSet::new();
    for processor in allowed(root)? {
        let folder = root.join(format!("sys/devices/system/cpu/cpu{processor}/topology"));
        let siblings = ["core_cpus_list", "thread_siblings_list"]
            .into_iter()
            .find_map(|name| std::fs::read_to_string(folder.join(name)).ok())?;
        cores.insert(siblings.trim().to_owned());
    }
    (!cores.is_empty()).then_some(cores.len())
}

/// The processors that this thread may run on.
fn allowed(root: &Path) -> Option<Vec<usize>> {
    let status = ["proc/thread-self/status", "proc/self/status"]
        .into_iter()
        .find_map(|path| std::fs::read_to_string(root.join(path)).ok())?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    parse_list(list.trim())
}

/// `0-3,8,10-11` as numbers.
fn parse_list(list: &str) -> Option<Vec<usize>> {
    /// More than any machine has: a list that names more is no list of processors.
    const MOST: usize = 1 << 16;
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four cores of two processors each, numbered as most machines do: 0 and 4 are one core.
    fn machine(allowed: &str, name: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: String| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let status = format!("Name:\ttest\nCpus_allowed:\tff\nCpus_allowed_list:\t{allowed}\n");
        write("proc/self/status", status);
        for processor in 0..8 {
            let (one, other) = (processor % 4, processor % 4 + 4);
            write(
                &format!("sys/devices/system/cpu/cpu{processor}/topology/{name}"),
                format!("{one},{other}\n"),
            );
        }
        folder
    }

    #[test]
    fn processors_of_one_core_count_once_and_forbidden_ones_not_at_all() {
        for (allowed, cores) in [("0-7", 4), ("0-3", 4), ("0,4", 1), ("1-2,5", 2), ("7", 1)] {
            for name in ["core_cpus_list", "thread_siblings_list"] {
                let machine = machine(allowed, name);
                assert_eq!(physical_cores(machine.path()), Some(cores), "{allowed}");
            }
        }
    }

    #[test]
    fn systems_that_show_nothing_or_nonsense_are_not_counted() {
        let nothing = tempfile::tempdir().unwrap();
        assert_eq!(physical_cores(nothing.path()), None);
        for allowed in ["", "0-", "a", "0-99999999999", "8"] {
            let machine = machine(allowed, "core_cpus_list");
            assert_eq!(physical_cores(machine.path()), None, "{allowed}");
        }
    }

    #[test]
    fn this_machine_has_no_more_cores_than_processors() {
        let processors = available_parallelism().unwrap().get();
        assert!(Threads::Physical.count() <= processors);
        assert_eq!(Threads::from(3), Threads::N(3));
        assert_eq!(Threads::N(3).count(), 3);
        assert_eq!(
            [Threads::Auto, Threads::from(0)].map(Threads::count),
            [0; 2]
        );
    }
}
