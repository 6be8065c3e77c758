//! The thread pool under stress.

use dino_kernels::ThreadPool;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Runs one region and checks that each chunk ran exactly once.
fn check_region(pool: &ThreadPool, chunks: usize) {
    let runs: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
    pool.run_with(chunks, |worker, chunk| {
        assert!(worker < pool.threads());
        runs[chunk].fetch_add(1, Ordering::Relaxed);
    });
    assert!(runs.iter().all(|n| n.load(Ordering::Relaxed) == 1));
}

#[test]
fn each_chunk_runs_once_in_every_region() {
    for threads in [1, 2, 3, 8] {
        let pool = ThreadPool::new(threads).unwrap();
        for region in 0..3000 {
            check_region(&pool, region % 37);
        }
        check_region(&pool, 100_000);
    }
}

#[test]
fn borrowed_values_are_written_by_parts() {
    let pool = ThreadPool::new(4).unwrap();
    for length in [1, 3, 64, 1000, 2000] {
        let mut values = vec![0; 1000];
        pool.for_each_part(&mut values, length, |part, values| {
            for (i, value) in values.iter_mut().enumerate() {
                *value = part * length + i;
            }
        });
        assert!(values.iter().enumerate().all(|(i, &value)| i == value));
    }
}

#[test]
fn workers_that_are_parked_wake_up() {
    let pool = ThreadPool::new(2).unwrap();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(3));
        let seen = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let start = Instant::now();
        // Each chunk waits for the other: only two threads together can finish (or time, on a busy machine).
        pool.run(2, |chunk| {
            seen[chunk].store(1, Ordering::Release);
            while seen[1 - chunk].load(Ordering::Acquire) == 0
                && start.elapsed() < Duration::from_secs(20)
            {
                std::thread::yield_now();
            }
        });
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_panic_reaches_the_caller_and_leaves_the_pool_usable() {
    for threads in [1, 2, 8] {
        let pool = ThreadPool::new(threads).unwrap();
        for bad in [0, 1, 50, 99] {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.run(100, |chunk| assert!(chunk != bad, "chunk {chunk}"));
            }));
            let thrown = outcome.unwrap_err();
            assert_eq!(thrown.downcast_ref(), Some(&format!("chunk {bad}")));
            check_region(&pool, 100);
        }
        let all = catch_unwind(AssertUnwindSafe(|| pool.run(100, |_| panic!("all"))));
        assert_eq!(all.unwrap_err().downcast_ref(), Some(&"all"));
        check_region(&pool, 100);
    }
}

#[test]
fn regions_within_regions_run_where_they_are() {
    let pool = ThreadPool::new(3).unwrap();
    let sum = AtomicUsize::new(0);
    pool.run(20, |outer| {
        pool.run(10, |inner| {
            sum.fetch_add(outer * 10 + inner, Ordering::Relaxed);
        });
    });
    assert_eq!(sum.into_inner(), (0..200).sum());
}

#[test]
fn callers_on_many_threads_share_a_pool() {
    let pool = ThreadPool::new(2).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..2000).for_each(|region| check_region(&pool, region % 11)));
        }
    });
}

#[test]
fn many_more_threads_than_cores_do_not_stop_it() {
    let pool = ThreadPool::new(32).unwrap();
    let start = Instant::now();
    (0..2000).for_each(|_| check_region(&pool, 64));
    // 2000 regions of next to no work: seconds would mean that regions wait for workers without a core.
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}
