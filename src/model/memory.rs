//! How much memory a process may take.

use std::path::Path;

/// Bytes that this process may still take: what the system has, or what the control group leaves where that is less.
/// `None` where the system does not tell.
pub(crate) fn available() -> Option<u64> {
    available_under(Path::new("/"))
}

fn available_under(root: &Path) -> Option<u64> {
    let system = meminfo(root);
    let group = group_v2(root).or_else(|| group_v1(root));
    match (system, group) {
        (Some(system), Some(group)) => Some(system.min(group)),
        (system, group) => system.or(group),
    }
}

fn meminfo(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The tightest limit of the group and those around it; what the cache of files takes of it can be had back.
fn group_v2(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mount = root.join("sys/fs/cgroup");
    let folder = mount.join(path.trim_start_matches('/'));
    let folders = folder
        .ancestors()
        .take_while(|folder| folder.starts_with(&mount));
    let left = |folder: &Path| {
        let limit: u64 = read(&folder.join("memory.max"))?;
        let used: u64 = read(&folder.join("memory.current"))?;
        let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cached = stat
            .lines()
            .find_map(|line| line.strip_prefix("inactive_file "));
        let cached = cached.and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(cached)))
    };
    folders.filter_map(left).min()
}

fn group_v1(root: &Path) -> Option<u64> {
    let folder = root.join("sys/fs/cgroup/memory");
    let limit: u64 = read(&folder.join("memory.limit_in_bytes"))?;
    let used: u64 = read(&folder.join("memory.usage_in_bytes"))?;
    // Without a limit, the file holds the largest whole number of pages.
    (limit < 1 << 60).then(|| limit.saturating_sub(used))
}

/// The number in a file; `None` where it says `max`.
fn read(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n",
    );

    #[test]
    fn the_tightest_group_counts() {
        let folder = tree(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/memory.max", "5000000\n"),
            ("sys/fs/cgroup/a/memory.current", "3000000\n"),
            (
                "sys/fs/cgroup/a/memory.stat",
                "anon 5\ninactive_file 1000000\n",
            ),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.current", "10\n"),
        ]);
        assert_eq!(available_under(folder.path()), Some(3_000_000));
    }

    #[test]
    fn older_groups_and_systems_without_any_are_read_too() {
        let limit = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "4000000");
        let usage = ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000000");
        assert_eq!(
            available_under(tree(&[MEMINFO, limit, usage]).path()),
            Some(3_000_000)
        );
        let none = (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712",
        );
        assert_eq!(
            available_under(tree(&[MEMINFO, none, usage]).path()),
            Some(8_192_000)
        );
        assert_eq!(available_under(tree(&[MEMINFO]).path()), Some(8_192_000));
        assert_eq!(available_under(tree(&[]).path()), None);
    }
}
