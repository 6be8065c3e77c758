//! Asking for weights before they are needed.
//!
//! One row of input meets each weight once, so a kernel waits for memory and for little else. The processor looks ahead
//! by itself, but not across pages, nor from one stream of a weight to the next, and only as far as the instructions in
//! flight reach. Asked for by address, memory is read by a third faster. Weights of a model lie side by side, so that what
//! comes after a group's end is, as a rule, wanted next.

use crate::packed::Format;
use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

/// Bytes of words between what is read and what is asked for: a tenth of a microsecond and more, well within the
/// first-level cache.
pub(crate) const AHEAD: usize = 8192;

/// Asks for a sub-block's share of the words and heads [`AHEAD`] of the block at `words` and `head`, `lanes` rows each.
///
/// A share at a time: a processor holds few requests, and drops or waits for more.
#[inline(always)]
pub(crate) fn ask_ahead<F: Format>(words: *const u8, head: *const u8, sub: usize, lanes: usize) {
    let share = 4 * F::WORDS * lanes / F::SUBS;
    ask_at(words.wrapping_add(AHEAD + sub * share), share);
    let share = (F::HEAD * lanes).div_ceil(F::SUBS);
    let ahead = AHEAD * F::HEAD / (4 * F::WORDS);
    ask_at(head.wrapping_add(ahead + sub * share), share);
}

/// Asks for `count` values [`AHEAD`] of those at `from`.
#[inline(always)]
pub(crate) fn ask_for<E>(from: *const E, count: usize) {
    ask_at(
        from.cast::<u8>().wrapping_add(AHEAD),
        count * size_of::<E>(),
    );
}

/// Asks for the lines of `bytes` bytes at `from`.
#[inline(always)]
pub(crate) fn ask_at(from: *const u8, bytes: usize) {
    for line in 0..bytes.div_ceil(64) {
        // SAFETY: asking is a hint, for any address; every x86-64 processor has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(64 * line).cast()) };
    }
}
