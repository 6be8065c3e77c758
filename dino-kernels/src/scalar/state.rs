//! Steps of recurrent states, one token at a time: the definition of each, and its one implementation.
//!
//! Every set runs this code, compiled with its features: rows of a state are long, independent of each other, and read
//! in order, which compilers turn into vector code well. No sum runs along a vector, products and sums are rounded
//! separately, and so the sets agree to the bit.

use crate::table::{Memory, Scan, StateKernels};

pub(crate) const TABLE: StateKernels = StateKernels {
    recall,
    remember,
    scan,
    multiply_add,
};

/// `out = Σ key[i] · state[i]`.
#[inline(always)]
pub(crate) fn recall(state: &[f32], key: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for (row, &key) in state.chunks_exact(out.len().max(1)).zip(key) {
        for (out, x) in out.iter_mut().zip(row) {
            *out += key * x;
        }
    }
}

/// `state[i] = decay · state[i] + key[i] · value`, then `out = Σ query[i] · state[i]`.
#[inline(always)]
pub(crate) fn remember(state: &mut [f32], memory: Memory<'_>, out: &mut [f32]) {
    let Memory {
        decay,
        key,
        value,
        query,
    } = memory;
    out.fill(0.0);
    let rows = state.chunks_exact_mut(out.len().max(1));
    for ((row, &key), &query) in rows.zip(key).zip(query) {
        for ((x, &value), out) in row.iter_mut().zip(value).zip(out.iter_mut()) {
            *x = decay * *x + key * value;
            *out += query * *x;
        }
    }
}

/// `state = decay · state + write · input`, then `out += read · state`, value by value.
#[inline(always)]
pub(crate) fn scan(state: &mut [f32], scan: Scan<'_>, out: &mut [f32]) {
    let Scan {
        decay,
        input,
        write,
        read,
    } = scan;
    for (((x, &decay), &input), out) in state.iter_mut().zip(decay).zip(input).zip(out) {
        *x = decay * *x + write * input;
        *out += read * *x;
    }
}

/// `out += x · y`, value by value.
#[inline(always)]
pub(crate) fn multiply_add(out: &mut [f32], x: &[f32], y: &[f32]) {
    for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
        *out += x * y;
    }
}
