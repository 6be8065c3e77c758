//! The pool: its threads, how they wait, and who may open a region.

use super::allowance::{self, Allowance};
use super::region::Gate;
use crate::KernelError;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How long a worker spins after a region: longer than the serial parts between two regions of a pass.
const SPIN: Duration = Duration::from_micros(40);
/// How long it then yields before it parks: longer than sampling takes between two tokens, as a rule.
const YIELD: Duration = Duration::from_micros(300);

/// How a worker waits for the next region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// It spins for a moment, then yields, then sleeps: regions begin at once, and the moments cost processor time.
    #[default]
    Spinning,
    /// It sleeps at once: a region begins some microseconds later for it, and waiting costs nothing.
    Sleeping,
}

/// A fixed number of threads that run the chunks of parallel regions; the calling thread is one of them.
///
/// Where it was left to the pool how many there are, it follows what the process may use: while that is less than at the
/// start (a smaller quota of the control group, fewer processors in the affinity mask), as many workers stay asleep.
///
/// Dropping the pool ends its threads.
pub struct ThreadPool {
    shared: Arc<Shared>,
    /// Held while a region is open.
    region: Mutex<Allowance>,
    threads: usize,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    gate: Gate,
    sleep: Sleep,
    /// Where the workers are that are too many at present.
    bench: Sleep,
    /// Threads that take part, the caller's included.
    active: AtomicUsize,
}

impl ThreadPool {
    /// A pool of `threads` threads, the caller's among them; 0 stands for one a core that this process may
    /// use (cgroup quota and affinity counted, also when they change later).
    ///
    /// # Errors
    /// [`KernelError::Spawn`] if the operating system refuses a thread.
    pub fn new(threads: usize) -> Result<Self, KernelError> {
        Self::waiting(threads, Waiting::default())
    }

    /// [`ThreadPool::new`] with workers that wait in another way.
    ///
    /// # Errors
    /// As those of [`ThreadPool::new`].
    pub fn waiting(threads: usize, waiting: Waiting) -> Result<Self, KernelError> {
        Self::with(threads, waiting, allowance::processors)
    }

    /// `processors` says how many the process may use.
    fn with(
        threads: usize,
        waiting: Waiting,
        processors: fn() -> usize,
    ) -> Result<Self, KernelError> {
        let cores = processors();
        let (threads, allowance) = match threads {
            0 => (cores, Allowance::new(processors)),
            threads => (threads, Allowance::fixed()),
        };
        // With more threads than cores a spinning worker would hold the core that the others wait for.
        let patience = match waiting {
            Waiting::Spinning if threads <= cores => Patience {
                spin: SPIN,
                total: SPIN + YIELD,
            },
            Waiting::Spinning => Patience {
                spin: Duration::ZERO,
                total: YIELD,
            },
            Waiting::Sleeping => Patience::NONE,
        };
        let shared = Arc::new(Shared {
            gate: Gate::new(threads),
            sleep: Sleep::default(),
            bench: Sleep::default(),
            active: AtomicUsize::new(threads),
        });
        // The pool exists before its workers do, so that a failed start ends those already started.
        let mut pool = Self {
            shared,
            region: Mutex::new(allowance),
            threads,
            workers: Vec::new(),
        };
        for worker in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let handle = Builder::new()
                .name(format!("dino-worker-{worker}"))
                .spawn(move || shared.serve(worker, patience))
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
        let Some(Ok(mut lock)) = lock else {
            return (0..chunks).for_each(|chunk| work(0, chunk));
        };
        if let Some(allowed) = lock.changed() {
            self.shared.allow(allowed.clamp(1, self.threads));
        }
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
        self.shared.bench.end();
        for worker in self.workers.drain(..) {
            // A worker catches what its chunks throw, so there is nothing to report.
            let _ = worker.join();
        }
    }
}

/// How long a worker looks for news before it sleeps, and how much of that it spins.
#[derive(Clone, Copy)]
struct Patience {
    spin: Duration,
    total: Duration,
}

impl Patience {
    const NONE: Self = Self {
        spin: Duration::ZERO,
        total: Duration::ZERO,
    };
}

impl Shared {
    /// The life of worker `worker`: join each new region, wait ever more patiently for the next.
    fn serve(&self, worker: usize, patience: Patience) {
        let mut seen = 0;
        loop {
            let news = |gate: &Gate| {
                let (region, open) = gate.latest();
                open && region != seen
            };
            let takes_part = || worker < self.active.load(Ordering::SeqCst);
            if !takes_part() {
                self.bench.until(takes_part);
            } else if patience.total.is_zero() || !self.wait_awake(patience, news) {
                self.sleep.until(|| news(&self.gate) || !takes_part());
            }
            if self.sleep.ending.load(Ordering::Acquire) {
                return;
            }
            if takes_part() {
                seen = self.gate.latest().0;
                self.gate.join(worker);
            }
        }
    }

    /// Lets so many threads take part from now on.
    fn allow(&self, threads: usize) {
        let before = self.active.swap(threads, Ordering::SeqCst);
        if threads > before {
            self.bench.wake();
        } else if threads < before {
            // Those that are too many go from one bed to the other.
            self.sleep.wake();
        }
    }

    /// Spins, then yields, until there is news (true) or patience ends (false).
    ///
    /// Patience starts afresh with each region that went by, also one that was over before it could be joined.
    fn wait_awake(&self, patience: Patience, news: impl Fn(&Gate) -> bool) -> bool {
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
                idle if idle < patience.spin => {}
                idle if idle < patience.total => std::thread::yield_now(),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers that took part in some of many regions.
    fn seen(pool: &ThreadPool) -> usize {
        let seen: Vec<_> = (0..pool.threads())
            .map(|_| AtomicBool::new(false))
            .collect();
        for _ in 0..50 {
            pool.run_with(16, |worker, _| {
                seen[worker].store(true, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(100));
            });
        }
        let seen = seen.iter().filter(|seen| seen.load(Ordering::Relaxed));
        seen.count()
    }

    /// Asserts that so many take part, sooner or later: a busy machine may keep one away from many regions.
    fn assert_seen(pool: &ThreadPool, expected: usize) {
        let start = Instant::now();
        let mut last = seen(pool);
        while last != expected && start.elapsed() < Duration::from_secs(20) {
            last = seen(pool);
        }
        assert_eq!(last, expected);
    }

    #[test]
    fn workers_follow_what_the_process_may_use() {
        static PROCESSORS: AtomicUsize = AtomicUsize::new(4);
        let processors = || PROCESSORS.load(Ordering::Relaxed);
        for waiting in [Waiting::Spinning, Waiting::Sleeping] {
            PROCESSORS.store(4, Ordering::Relaxed);
            let pool = ThreadPool::with(0, waiting, processors).unwrap();
            for allowed in [4, 1, 3, 9, 2] {
                PROCESSORS.store(allowed, Ordering::Relaxed);
                assert_seen(&pool, allowed.min(4));
            }
        }
    }

    #[test]
    fn a_number_that_was_asked_for_stays() {
        let pool = ThreadPool::with(3, Waiting::Sleeping, || 1).unwrap();
        assert_seen(&pool, 3);
        std::thread::sleep(Duration::from_secs(1));
        assert_seen(&pool, 3);
    }

    #[test]
    fn sleeping_workers_run_every_chunk() {
        let pool = ThreadPool::waiting(4, Waiting::Sleeping).unwrap();
        for chunks in [0, 1, 2, 100] {
            let sum = AtomicUsize::new(0);
            pool.run(chunks, |chunk| {
                sum.fetch_add(chunk + 1, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), chunks * (chunks + 1) / 2);
        }
    }
}
