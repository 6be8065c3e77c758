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

/// What the files of one version of control groups are called.
struct Names {
    limit: &'static str,
    used: &'static str,
    cached: &'static str,
}

fn group_v2(root: &Path) -> Option<u64> {
    let names = Names {
        limit: "memory.max",
        used: "memory.current",
        cached: "inactive_file",
    };
    tightest(root, "sys/fs/cgroup", str::is_empty, &names)
}

fn group_v1(root: &Path) -> Option<u64> {
    let names = Names {
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        cached: "total_inactive_file",
    };
    let is_memory = |controllers: &str| controllers.split(',').any(|name| name == "memory");
    tightest(root, "sys/fs/cgroup/memory", is_memory, &names)
}

/// What the group and those around it leave at least; what the cache of files takes of a group can be had back.
fn tightest(
    root: &Path,
    mount: &str,
    is_wanted: impl Fn(&str) -> bool,
    names: &Names,
) -> Option<u64> {
    // Lines of `number:controllers:path`.
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let path = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        is_wanted(controllers).then_some(path)
    });
    let mount = root.join(mount);
    // In a container the path may be that of the outside, where there is no such folder: then the mount is the group.
    let folder = mount.join(path.unwrap_or_default().trim_start_matches('/'));
    let folders = folder
        .ancestors()
        .take_while(|folder| folder.starts_with(&mount));
    let left = |folder: &Path| {
        let limit: u64 = read(&folder.join(names.limit))?;
        let used: u64 = read(&folder.join(names.used))?;
        let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().find_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            (name == names.cached).then(|| bytes.trim().parse().ok())?
        });
        // Without a limit, the older version holds the largest whole number of pages.
        (limit < 1 << 60).then(|| limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
    };
    folders.filter_map(left).min()
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
        let own = [
            MEMINFO,
            (
                "proc/self/cgroup",
                "5:cpu,cpuacct:/x\n4:hugetlb,memory:/a/b\n0::/\n",
            ),
            limit,
            usage,
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "3000000"),
            ("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "2500000"),
            (
                "sys/fs/cgroup/memory/a/b/memory.stat",
                "inactive_file 1\ntotal_inactive_file 2000000\n",
            ),
        ];
        assert_eq!(available_under(tree(&own).path()), Some(2_500_000));
        assert_eq!(available_under(tree(&[MEMINFO]).path()), Some(8_192_000));
        assert_eq!(available_under(tree(&[]).path()), None);
    }
}
