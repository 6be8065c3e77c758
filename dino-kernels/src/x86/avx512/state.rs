//! Steps of recurrent states: the code of [`crate::scalar::state`], compiled with the features of this set.

use crate::scalar::state;
use crate::table::{Memory, Scan, StateKernels};

pub(crate) const TABLE: StateKernels = StateKernels {
    recall,
    remember,
    scan,
    multiply_add,
};

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn recall(state: &[f32], key: &[f32], out: &mut [f32]) {
    state::recall(state, key, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn remember(state: &mut [f32], memory: Memory<'_>, out: &mut [f32]) {
    state::remember(state, memory, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn scan(state: &mut [f32], scan: Scan<'_>, out: &mut [f32]) {
    state::scan(state, scan, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi1,bmi2")]
fn multiply_add(out: &mut [f32], x: &[f32], y: &[f32]) {
    state::multiply_add(out, x, y);
}
