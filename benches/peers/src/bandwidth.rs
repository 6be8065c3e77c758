//! What the memory of this machine gives, measured beside the engines: the limit of generation.

use std::hint::black_box;
use std::time::Instant;

/// Bytes a second that `threads` threads read together, each its own part of a buffer far larger than the caches.
pub fn measure(threads: usize) -> f64 {
    const WORDS: usize = 1 << 26;
    const REPEATS: usize = 5;
    let buffer = vec![1_u64; WORDS];
    let started = Instant::now();
    std::thread::scope(|scope| {
        for part in buffer.chunks(WORDS.div_ceil(threads.max(1))) {
            scope.spawn(move || {
                for _ in 0..REPEATS {
                    black_box(sum(black_box(part)));
                }
            });
        }
    });
    (8 * WORDS * REPEATS) as f64 / started.elapsed().as_secs_f64()
}

/// Sums in eight lines, so that no addition waits for another.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0_u64; 64];
    for chunk in words.chunks_exact(64) {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().fold(0, |sum, part| sum.wrapping_add(*part))
}
