//! How the pool behaves towards the rest of the machine: it takes no more cores than it may, and none while idle.
//!
//! Linux shows what is needed for that; the pool itself is the same everywhere.

#![cfg(target_os = "linux")]

use dino_kernels::ThreadPool;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Nanoseconds that each worker of this process has run.
fn worker_times() -> BTreeMap<String, u64> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let times = tasks.filter_map(|task| {
        let folder = task.ok()?.path();
        let name = fs::read_to_string(folder.join("comm")).ok()?;
        let times = fs::read_to_string(folder.join("schedstat")).ok()?;
        let run: u64 = times.split_whitespace().next()?.parse().ok()?;
        let id = folder.file_name()?.to_string_lossy().into_owned();
        name.starts_with("dino-worker").then_some((id, run))
    });
    times.collect()
}

#[test]
fn idle_workers_take_no_time() {
    let pool = ThreadPool::new(4).unwrap();
    for _ in 0..100 {
        pool.run(64, |_| thread::sleep(Duration::from_micros(1)));
    }
    // Longer than workers look for the next region, also on a busy machine.
    thread::sleep(Duration::from_millis(200));
    let before = worker_times();
    assert!(before.len() >= 3, "{before:?}");
    thread::sleep(Duration::from_millis(300));
    let after = worker_times();
    for (id, time) in &before {
        // Another test's pool may have ended meanwhile.
        let Some(later) = after.get(id) else { continue };
        assert_eq!(time, later, "nanoseconds of worker thread {id}");
    }
    drop(pool);
}

/// Cores that this process may run on.
fn allowed_cores() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap();
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1
    };
    list.trim().split(',').map(count).sum()
}

const CHILD: &str = "DINO_TEST_COUNTS_THREADS";

#[test]
fn threads_are_at_most_the_cores_of_the_affinity_mask() {
    let threads = ThreadPool::new(0).unwrap().threads();
    assert!((1..=allowed_cores()).contains(&threads), "{threads}");
    if env::var_os(CHILD).is_some() {
        assert_eq!(threads, 1);
        return;
    }
    // The same test once more, on one core. Without the tool the assertion above must do.
    let core = fs::read_to_string("/proc/self/status").unwrap();
    let core = core
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap()
        .trim()
        .split([',', '-'])
        .next()
        .unwrap()
        .to_owned();
    let mut command = Command::new("taskset");
    command.args(["-c", &core]).arg(env::current_exe().unwrap());
    command.arg("--exact");
    command.arg("threads_are_at_most_the_cores_of_the_affinity_mask");
    match command.env(CHILD, "1").output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
    }
}

/// The best of some runs of regions that have 2 ms of work in all.
fn best_time(pool: &ThreadPool) -> Duration {
    let work = |_| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(20) {
            std::hint::spin_loop();
        }
    };
    let run = |_| {
        let start = Instant::now();
        (0..10).for_each(|_| pool.run(10, work));
        start.elapsed()
    };
    (0..200).map(run).min().unwrap()
}

#[test]
fn threads_beyond_the_cores_cost_little() {
    let cores = thread::available_parallelism().unwrap().get();
    let fitting = best_time(&ThreadPool::new(cores).unwrap());
    let excessive = best_time(&ThreadPool::new(4 * cores).unwrap());
    // Regions that waited for workers without a core would take time slices: milliseconds each.
    assert!(
        excessive < 2 * fitting + Duration::from_millis(1),
        "{excessive:?} with four threads a core, {fitting:?} with one"
    );
}
