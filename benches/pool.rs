//! What a parallel region costs.

use criterion::{Criterion, criterion_group, criterion_main};
use dino_kernels::ThreadPool;
use std::hint::black_box;
use std::time::{Duration, Instant};

fn regions(c: &mut Criterion) {
    for threads in [1, 2, 8] {
        let pool = ThreadPool::new(threads).expect("threads start");
        // Workers are hot: one region follows the other.
        c.bench_function(&format!("region/threads={threads}"), |bencher| {
            bencher.iter(|| {
                pool.run(8, |chunk| {
                    black_box(chunk);
                });
            });
        });
        // 40 µs of work in all, as one small layer has; ideal is 40 µs / threads.
        c.bench_function(&format!("region of 40 us/threads={threads}"), |bencher| {
            bencher.iter(|| pool.run(8, |_| busy(Duration::from_micros(5))));
        });
    }
}

fn busy(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group!(name = pool; config = quick(); targets = regions);
criterion_main!(pool);
