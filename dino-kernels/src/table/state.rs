//! The table's part for recurrent states.

use std::fmt;

/// What one token does to a state that maps keys to values.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// What the state is multiplied by first.
    pub decay: f32,
    /// `[keys]`; where the value is written.
    pub key: &'a [f32],
    /// `[values]`; what is added.
    pub value: &'a [f32],
    /// `[keys]`; where the result is read, after that.
    pub query: &'a [f32],
}

/// What one token does to a state of which each value is a memory of its own.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// What each value is multiplied by first.
    pub decay: &'a [f32],
    /// What is written to each.
    pub input: &'a [f32],
    /// How much of it.
    pub write: f32,
    /// How much is read, after that.
    pub read: f32,
}

/// Functions on recurrent states, of one instruction set; all sets give the same bits.
pub struct StateKernels {
    pub(crate) recall: unsafe fn(state: &[f32], key: &[f32], out: &mut [f32]),
    pub(crate) remember: unsafe fn(state: &mut [f32], memory: Memory<'_>, out: &mut [f32]),
    pub(crate) scan: unsafe fn(state: &mut [f32], scan: Scan<'_>, out: &mut [f32]),
    pub(crate) multiply_add: unsafe fn(out: &mut [f32], x: &[f32], y: &[f32]),
}

impl fmt::Debug for StateKernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateKernels")
    }
}

/// Each method panics if the lengths do not fit together.
///
/// The safety of every call below is that of [`VectorKernels`](crate::VectorKernels): the entry needs the features of
/// its table's set, which were found before the table could be reached, and its signature is safe.
impl StateKernels {
    /// `out = Σ key[i] · state[i]`: what `state`, `[keys, values]`, holds for `key`, `[keys]`. `out` is `[values]`.
    #[track_caller]
    pub fn recall(&self, state: &[f32], key: &[f32], out: &mut [f32]) {
        assert_eq!(state.len(), key.len() * out.len(), "a row for each key");
        // SAFETY: see the top of this impl.
        unsafe { (self.recall)(state, key, out) }
    }

    /// `state[i] = decay · state[i] + key[i] · value`, then `out = Σ query[i] · state[i]`.
    ///
    /// `state` is `[keys, values]`, `out` is `[values]`.
    #[track_caller]
    pub fn remember(&self, state: &mut [f32], memory: Memory<'_>, out: &mut [f32]) {
        assert_eq!(memory.key.len(), memory.query.len(), "key and query");
        assert_eq!(memory.value.len(), out.len(), "values in and out");
        assert_eq!(
            state.len(),
            memory.key.len() * out.len(),
            "a row for each key"
        );
        // SAFETY: see the top of this impl.
        unsafe { (self.remember)(state, memory, out) }
    }

    /// `state = decay · state + write · input`, then `out += read · state`, value by value.
    #[track_caller]
    pub fn scan(&self, state: &mut [f32], scan: Scan<'_>, out: &mut [f32]) {
        for len in [scan.decay.len(), scan.input.len(), out.len()] {
            assert_eq!(len, state.len(), "lengths differ");
        }
        // SAFETY: see the top of this impl.
        unsafe { (self.scan)(state, scan, out) }
    }

    /// `out += x · y`, value by value.
    #[track_caller]
    pub fn multiply_add(&self, out: &mut [f32], x: &[f32], y: &[f32]) {
        assert_eq!(x.len(), out.len(), "lengths differ");
        assert_eq!(y.len(), out.len(), "lengths differ");
        // SAFETY: see the top of this impl.
        unsafe { (self.multiply_add)(out, x, y) }
    }
}
