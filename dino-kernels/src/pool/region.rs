//! The protocol by which one caller lends a closure to the workers for the length of a region.
//!
//! All of it hangs on one atomic word, [`Gate::state`]: whether a region is open, how many workers are inside,
//! and the number of regions so far.
//!
//! * The caller, alone and with nobody inside, writes the job, then **opens** the gate (release).
//! * A worker **enters** by a compare-and-swap that adds one to the number inside and succeeds only while the
//!   gate is open (acquire, so it reads the job that was written before the opening). It claims chunks until
//!   none is left, then **leaves** by subtracting one (release).
//!
//!   Chunks are dealt out in runs, one for each thread, with a counter of its own. A thread claims its own run in order,
//!   then helps with the others'. So it reads memory in one stream, and counters are not fought over before the end.
//! * The caller claims chunks too, then **closes** the gate, after which nobody can enter, and waits until
//!   nobody is inside (acquire, so it sees all that the workers wrote). Only then does it return.
//!
//! Hence the job is read only between an entry and the matching departure, and the caller, whose stack the
//! job points into, does not return before the last departure: the borrow outlives every use. And the job is
//! written only while the gate is closed with nobody inside: no read runs beside a write.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The work of a chunk: `(worker, chunk)`.
pub(super) type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// What a panicking chunk threw.
pub(super) type Panic = Box<dyn Any + Send>;

/// State: workers inside in the low bits, then this flag, then the number of the region.
const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;
const NEXT_REGION: u64 = 1 << 32;

/// A value on cache lines of its own, so that writing it disturbs no neighbour (two lines, as processors
/// fetch them in pairs).
#[repr(align(128))]
struct Apart<T>(T);

/// A job lent for the length of one region.
#[derive(Clone, Copy)]
struct Job {
    work: *const Work<'static>,
    chunks: usize,
}

/// Where caller and workers meet.
pub(super) struct Gate {
    state: Apart<AtomicU64>,
    /// Of each thread's run, the first chunk that nobody has claimed.
    next: Box<[Apart<AtomicUsize>]>,
    job: UnsafeCell<Option<Job>>,
    panic: Mutex<Option<Panic>>,
}

// SAFETY: `job` is the one field that is not `Sync` (and its pointer not `Send`). The protocol above orders
// every access to it, and `Work` is `Sync`, so it may be called from several threads at once.
unsafe impl Sync for Gate {}
// SAFETY: as above; the pointer in `job` is followed only between entry and departure, on whatever thread.
unsafe impl Send for Gate {}

impl Gate {
    /// A gate for a caller and `threads - 1` workers.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            state: Apart(AtomicU64::new(0)),
            next: (0..threads).map(|_| Apart(AtomicUsize::new(0))).collect(),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
        }
    }

    /// The number of the latest region, and whether it is open.
    ///
    /// Sequentially consistent with [`Gate::run`]'s opening: see `Sleep` for why.
    pub(super) fn latest(&self) -> (u64, bool) {
        let state = self.state.0.load(Ordering::SeqCst);
        (state / NEXT_REGION, state & OPEN != 0)
    }

    /// The caller's side: runs all chunks of `work` with whoever joins, calling `wake` once the gate is open.
    ///
    /// Returns what the first panicking chunk threw; the chunks not yet claimed then are not run.
    ///
    /// # Safety
    /// No other call of `run` on this gate may overlap this one.
    pub(super) unsafe fn run(
        &self,
        work: &Work<'_>,
        chunks: usize,
        wake: impl FnOnce(),
    ) -> Result<(), Panic> {
        let work: *const Work<'_> = work;
        // SAFETY: only the lifetime in the type changes. The pointer is followed between entries and the
        // matching departures, all of which precede the return from this function, which borrows `work`.
        let work = unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) };
        let job = Job { work, chunks };
        // SAFETY: the gate is closed and nobody is inside: so it was made, and so every `run` leaves it.
        unsafe { *self.job.get() = Some(job) };
        for (thread, next) in self.next.iter().enumerate() {
            next.0
                .store(self.run_of(thread, chunks).start, Ordering::Relaxed);
        }
        let region = self.state.0.load(Ordering::Relaxed) / NEXT_REGION;
        let opened = region.wrapping_add(1).wrapping_mul(NEXT_REGION) | OPEN;
        self.state.0.store(opened, Ordering::SeqCst);
        wake();
        self.claim(job, 0);
        self.state.0.fetch_and(!OPEN, Ordering::Relaxed);
        self.wait_for_departures();
        let thrown = self
            .panic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        thrown.map_or(Ok(()), Err)
    }

    /// A worker's side: joins the region that is open, if one is.
    pub(super) fn join(&self, worker: usize) {
        let mut state = self.state.0.load(Ordering::Relaxed);
        while state & OPEN != 0 {
            let swap = (Ordering::Acquire, Ordering::Relaxed);
            match self
                .state
                .0
                .compare_exchange_weak(state, state + 1, swap.0, swap.1)
            {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        if state & OPEN == 0 {
            return;
        }
        // SAFETY: between entry and departure nobody writes the job.
        if let Some(job) = unsafe { *self.job.get() } {
            self.claim(job, worker);
        }
        self.state.0.fetch_sub(1, Ordering::Release);
    }

    /// Runs chunks until none is left; a panic is kept for the caller and ends the claiming for all.
    fn claim(&self, job: Job, worker: usize) {
        // SAFETY: `claim` is called by the caller of the region, and by workers between entry and departure;
        // the pointee is alive for all of them.
        let work = unsafe { &*job.work };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let threads = self.next.len();
            for thread in (worker..threads).chain(0..worker) {
                let end = self.run_of(thread, job.chunks).end;
                while let Some(chunk) = claim_below(&self.next[thread].0, end) {
                    work(worker, chunk);
                }
            }
        }));
        if let Err(thrown) = outcome {
            for next in &self.next {
                next.0.store(job.chunks, Ordering::Relaxed);
            }
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            if first.is_none() {
                *first = Some(thrown);
            } else {
                // To drop it might panic again, past the departure that the caller waits for.
                std::mem::forget(thrown);
            }
        }
    }

    /// The chunks that are dealt to a thread.
    fn run_of(&self, thread: usize, chunks: usize) -> Range<usize> {
        let (each, more) = (chunks / self.next.len(), chunks % self.next.len());
        let start = thread * each + thread.min(more);
        start..start + each + usize::from(thread < more)
    }

    /// Spins for as long as the tail of a chunk may take, then lets others have the core.
    fn wait_for_departures(&self) {
        let mut spins = 0_u32;
        while self.state.0.load(Ordering::Acquire) & INSIDE != 0 {
            if spins < 2000 {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

/// The next chunk, if it is below `end`. Looks before it counts, so that looking into a run that is over costs little.
fn claim_below(next: &AtomicUsize, end: usize) -> Option<usize> {
    if next.load(Ordering::Relaxed) >= end {
        return None;
    }
    let chunk = next.fetch_add(1, Ordering::Relaxed);
    (chunk < end).then_some(chunk)
}
