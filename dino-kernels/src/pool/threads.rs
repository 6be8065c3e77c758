//! The pool: its threads, how they wait, and who may open a region.

use super::region::Gate;
use crate::KernelError;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

/// How long a worker spins after a region: longer than the serial parts between two regions of a pass.
const SPIN: Duration = Duration::from_micros(40);
/// How long it then yields before it parks: longer than sampling takes between two tokens, as a rule.
const YIELD: Duration = Duration::from_micros(300);

/// A fixed number of threads that run the chunks of parallel regions; the calling thread is one of them.
///
/// Dropping the pool ends its threads.
pub struct ThreadPool {
    shared: Arc<Shared>,
    /// Held while a region is open.
    region: Mutex<()>,
    threads: usize,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    gate: Gate,
    sleep: Sleep,
}

impl ThreadPool {
    /// A pool of `threads` threads, the caller's among them; 0 stands for one a core that this process may
    /// use (cgroup quota and affinity counted).
    ///
    /// # Errors
    /// [`KernelError::Spawn`] if the operating system refuses a thread.
    pub fn new(threads: usize) -> Result<Self, KernelError> {
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = if threads == 0 { cores } else { threads };
        // With more threads than cores a spinning worker would hold the core that the others wait for.
        let spin = if threads <= cores {
            SPIN
        } else {
            Duration::ZERO
        };
        let shared = Arc::new(Shared {
            gate: Gate::new(threads),
            sleep: Sleep::default(),
        });
        // The pool exists before its workers do, so that a failed start ends those already started.
        let mut pool = Self {
            shared,
            region: Mutex::new(()),
            threads,
            workers: Vec::new(),
        };
        for worker in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let handle = Builder::new()
                .name(format!("dino-worker-{worker}"))
                .spawn(move || shared.serve(worker, spin))
                .map_err(|source| KernelError::Spawn {
                    worker,
                    threads,
                    source,
                })?;
            pool.workers.push(handle);
        }
        Ok(pool)
    }

    /// Threads in all, the caller's included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `work` with each of `0..chunks`, on any threads in any order, and returns when all are done.
    ///
    /// A call from within a chunk, or while another thread's region is open on this pool, runs its chunks
    /// one after the other on the calling thread: it neither waits nor fails.
    ///
    /// # Panics
    /// With the first panic of a chunk, once no thread runs a chunk any more; the pool stays usable.
    pub fn run(&self, chunks: usize, work: impl Fn(usize) + Sync) {
        self.run_with(chunks, |_, chunk| work(chunk));
    }

    /// Like [`ThreadPool::run`], for work that needs scratch of its own: calls `work(worker, chunk)`, where
    /// `worker < self.threads()` and no two threads inside this call have the same one.
    ///
    /// # Panics
    /// As [`ThreadPool::run`] does.
    pub fn run_with(&self, chunks: usize, work: impl Fn(usize, usize) + Sync) {
        // `try_lock` also fails on the thread that holds the lock, and that a chunk is running means that its
        // caller holds it: nested calls need no further care.
        let lock = (chunks > 1 && self.threads > 1).then(|| self.region.try_lock());
        let Some(Ok(lock)) = lock else {
            return (0..chunks).for_each(|chunk| work(0, chunk));
        };
        // SAFETY: the lock is held: no other call of `Gate::run` overlaps this one.
        let outcome = unsafe {
            self.shared
                .gate
                .run(&work, chunks, || self.shared.sleep.wake())
        };
        drop(lock);
        if let Err(thrown) = outcome {
            std::panic::resume_unwind(thrown);
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadPool({} threads)", self.threads)
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.sleep.end();
        for worker in self.workers.drain(..) {
            // A worker catches what its chunks throw, so there is nothing to report.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// The life of worker `worker`: join each new region, wait ever more patiently for the next.
    fn serve(&self, worker: usize, spin: Duration) {
        let mut seen = 0;
        loop {
            let news = |gate: &Gate| {
                let (region, open) = gate.latest();
                open && region != seen
            };
            if !self.wait_awake(spin, news) {
                self.sleep.until(|| news(&self.gate));
            }
            if self.sleep.ending.load(Ordering::Acquire) {
                return;
            }
            seen = self.gate.latest().0;
            self.gate.join(worker);
        }
    }

    /// Spins, then yields, until there is news (true) or patience ends (false).
    ///
    /// Patience starts afresh with each region that went by, also one that was over before it could be joined.
    fn wait_awake(&self, spin: Duration, news: impl Fn(&Gate) -> bool) -> bool {
        let (mut start, mut latest) = (Instant::now(), self.gate.latest().0);
        loop {
            // Reading the clock costs as much as twenty looks at the gate.
            for _ in 0..64 {
                if news(&self.gate) {
                    return true;
                }
                std::hint::spin_loop();
            }
            let region = self.gate.latest().0;
            if region != latest {
                (start, latest) = (Instant::now(), region);
            }
            match start.elapsed() {
                idle if idle < spin => {}
                idle if idle < spin + YIELD => std::thread::yield_now(),
                _ => return false,
            }
        }
    }
}

/// Where workers sleep.
///
/// No sleeper misses a region: it counts itself in `sleepers` *before* it looks at the gate for the last time,
/// and the caller opens the gate *before* it looks at `sleepers`, all sequentially consistent, so one of the
/// two sees the other. If the caller saw the sleeper it takes the lock, which the sleeper holds from before
/// its last look until it truly waits, and then notifies. (Were one missed all the same, the region would run
/// with one thread less: joining is optional.)
#[derive(Default)]
struct Sleep {
    sleepers: AtomicUsize,
    ending: AtomicBool,
    lock: Mutex<()>,
    morning: Condvar,
}

impl Sleep {
    /// Sleeps until `news` or the end of the pool.
    fn until(&self, news: impl Fn() -> bool) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !news() && !self.ending.load(Ordering::Acquire) {
            guard = self
                .morning
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes all who sleep; costs one load when nobody does.
    fn wake(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.morning.notify_all();
        }
    }

    /// Ends the pool: wakes all, for good.
    fn end(&self) {
        self.ending.store(true, Ordering::Release);
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.morning.notify_all();
    }
}
