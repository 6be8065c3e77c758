//! Each operation against its formula in f64, in one pass and in many, for every instruction set.

use super::*;
use crate::testing::Random;
use crate::{Activation, Compute, Kernels, ThreadPool};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};

/// The rows of two sequences of a batch, which lie at rows 2 and 0 of the states.
const SPANS: [(usize, std::ops::Range<usize>); 2] = [(2, 0..5), (0, 5..12)];
const TOKENS: usize = 12;

fn computes() -> Vec<Compute> {
    let compute = |kernels| Compute::of(kernels, ThreadPool::new(2).unwrap());
    Kernels::under_test()
        .unwrap()
        .into_iter()
        .map(compute)
        .collect()
}

fn random(random: &mut Random, shape: (usize, usize)) -> Array2<f32> {
    Array2::from_shape_fn(shape, |_| random.value())
}

/// Runs all tokens at once and then a token a pass: the same bits, which are returned.
fn run(
    size: usize,
    columns: usize,
    operation: impl Fn(
        &[StateSpan],
        ArrayViewMut2<'_, f32>,
        std::ops::Range<usize>,
        ArrayViewMut2<'_, f32>,
    ),
) -> Array2<f32> {
    let span = |(state, rows): &(usize, std::ops::Range<usize>), from: usize| StateSpan {
        state: *state,
        rows: rows.start - from..rows.end - from,
    };
    let mut states = Array2::zeros((3, size));
    let mut whole = Array2::zeros((TOKENS, columns));
    let spans = SPANS.map(|of| span(&of, 0));
    operation(&spans, states.view_mut(), 0..TOKENS, whole.view_mut());
    assert!(states.row(1).iter().all(|x| *x == 0.0), "of nobody");
    let mut again = Array2::zeros((3, size));
    let mut single = Array2::zeros((TOKENS, columns));
    for (state, rows) in SPANS {
        for row in rows {
            let spans = [span(&(state, row..row + 1), row)];
            let output = single.slice_mut(s![row..=row, ..]);
            operation(&spans, again.view_mut(), row..row + 1, output);
        }
    }
    assert_eq!(whole, single);
    assert_eq!(states, again);
    whole
}

#[track_caller]
fn assert_close(found: &Array2<f32>, expected: &Array2<f64>) {
    for (found, expected) in found.iter().zip(expected) {
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error <= 1e-5 * expected.abs().max(1.0),
            "{found} {expected}"
        );
    }
}

#[test]
fn convolutions_look_back_over_passes() {
    let mut source = Random::new(1);
    for (channels, taps) in [(6, 4), (300, 3), (7, 1)] {
        let input = random(&mut source, (TOKENS, channels));
        let (weight, bias) = (source.values(taps * channels), source.values(channels));
        let convolution = Convolution {
            weight: &weight,
            bias: Some(&bias),
            activation: Some(Activation::Silu),
        };
        let mut expected = Array2::zeros(input.dim());
        for (_, rows) in SPANS {
            for (row, channel) in rows
                .clone()
                .flat_map(|row| (0..channels).map(move |c| (row, c)))
            {
                let sum: f64 = (0..taps)
                    .filter_map(|tap| {
                        (row + tap + 1)
                            .checked_sub(taps)
                            .filter(|from| *from >= rows.start)
                            .map(|from| (tap, from))
                    })
                    .map(|(tap, from)| {
                        f64::from(weight[tap * channels + channel])
                            * f64::from(input[[from, channel]])
                    })
                    .sum();
                let sum = sum + f64::from(bias[channel]);
                expected[[row, channel]] = sum / (1.0 + (-sum).exp());
            }
        }
        for compute in computes() {
            let found = run(
                (taps - 1) * channels,
                channels,
                |spans, states, rows, output| {
                    convolve(
                        &compute,
                        &convolution,
                        spans,
                        states,
                        input.slice(s![rows, ..]),
                        output,
                    );
                },
            );
            assert_close(&found, &expected);
        }
    }
}

fn wide(x: ArrayView2<'_, f32>) -> Array2<f64> {
    x.mapv(f64::from)
}

#[test]
fn the_delta_rule_corrects_what_it_recalls() {
    let mut source = Random::new(2);
    for grouped in [true, false] {
        let rule = DeltaRule {
            key_heads: 2,
            value_heads: 4,
            key_dim: 6,
            value_dim: 5,
            grouped,
        };
        let qkv = random(&mut source, (TOKENS, 24 + 20));
        let [decay, rate] =
            [(); 2].map(|()| random(&mut source, (TOKENS, 4)).mapv(|x| 0.5 + 0.4 * x));
        let mut expected = Array2::zeros((TOKENS, 20));
        for ((_, rows), head) in SPANS
            .into_iter()
            .flat_map(|span| (0..4).map(move |head| (span.clone(), head)))
        {
            let key_head = if grouped { head / 2 } else { head % 2 };
            let mut memory = Array2::<f64>::zeros((6, 5));
            for row in rows {
                let part = |from: usize, len: usize| {
                    wide(qkv.slice(s![row..=row, from..from + len]))
                        .row(0)
                        .to_owned()
                };
                let unit = |x: ndarray::Array1<f64>| &x / (x.dot(&x) + 1e-6).sqrt();
                let query = unit(part(6 * key_head, 6)) / 6_f64.sqrt();
                let key = unit(part(12 + 6 * key_head, 6));
                let value = part(24 + 5 * head, 5);
                memory *= f64::from(decay[[row, head]]);
                let correction = (value - memory.t().dot(&key)) * f64::from(rate[[row, head]]);
                for (i, j) in (0..6).flat_map(|i| (0..5).map(move |j| (i, j))) {
                    memory[[i, j]] += key[i] * correction[j];
                }
                expected
                    .slice_mut(s![row, 5 * head..5 * head + 5])
                    .assign(&memory.t().dot(&query));
            }
        }
        for compute in computes() {
            let found = run(rule.state(), 20, |spans, states, rows, output| {
                let part = |x| -> ArrayView2<'_, f32> {
                    ArrayView2::slice_axis_move(x, ndarray::Axis(0), rows.clone().into())
                };
                let input = DeltaInput {
                    qkv: part(qkv.view()),
                    decay: part(decay.view()),
                    rate: part(rate.view()),
                };
                gated_delta(&compute, &rule, spans, states, input, output);
            });
            assert_close(&found, &expected);
        }
    }
}

/// `h = exp(Δ · A) · h + Δ · B · x`, `C · h + D · x`, channel by channel.
fn state_space_naively(
    x: &Array2<f32>,
    size: usize,
    of: impl Fn(usize, usize, usize) -> [f32; 4],
    skip: impl Fn(usize) -> f32,
) -> Array2<f64> {
    let mut expected = Array2::zeros(x.dim());
    for ((_, rows), channel) in SPANS
        .into_iter()
        .flat_map(|span| (0..x.ncols()).map(move |c| (span.clone(), c)))
    {
        let mut state = vec![0.0; size];
        for row in rows {
            let input = f64::from(x[[row, channel]]);
            let mut sum = f64::from(skip(channel)) * input;
            for (slot, h) in state.iter_mut().enumerate() {
                let [step, rate, write, read] = of(row, channel, slot).map(f64::from);
                *h = (step * rate).exp() * *h + step * write * input;
                sum += read * *h;
            }
            expected[[row, channel]] = sum;
        }
    }
    expected
}

#[test]
fn selective_scans_are_recurrences() {
    let (inner, size) = (134, 4);
    let mut source = Random::new(3);
    let x = random(&mut source, (TOKENS, inner));
    let step = random(&mut source, (TOKENS, inner)).mapv(f32::abs);
    // B and C as a projection gives them: beside each other.
    let both = random(&mut source, (TOKENS, 2 * size + 3));
    let rate: Vec<f32> = source
        .values(inner * size)
        .iter()
        .map(|x| -x.abs())
        .collect();
    let skip = source.values(inner);
    let (write, read) = (
        both.slice(s![.., 3..3 + size]),
        both.slice(s![.., 3 + size..]),
    );
    let of = |row, channel, slot: usize| {
        [
            step[[row, channel]],
            rate[slot * inner + channel],
            write[[row, slot]],
            read[[row, slot]],
        ]
    };
    let expected = state_space_naively(&x, size, of, |channel| skip[channel]);
    let weights = SelectiveScan {
        rate: &rate,
        skip: &skip,
    };
    for compute in computes() {
        let found = run(inner * size, inner, |spans, states, rows, output| {
            let part = |x| -> ArrayView2<'_, f32> {
                ArrayView2::slice_axis_move(x, ndarray::Axis(0), rows.clone().into())
            };
            let input = ScanInput {
                x: part(x.view()),
                step: part(step.view()),
                write: part(write),
                read: part(read),
            };
            selective_scan(&compute, &weights, spans, states, input, output);
        });
        assert_close(&found, &expected);
    }
}

#[test]
fn heads_of_a_state_space_share_their_groups() {
    let (heads, head_dim, groups, size) = (6, 5, 3, 4);
    let mut source = Random::new(4);
    let x = random(&mut source, (TOKENS, heads * head_dim));
    let step = random(&mut source, (TOKENS, heads)).mapv(f32::abs);
    let [write, read] = [(); 2].map(|()| random(&mut source, (TOKENS, groups * size)));
    let rate: Vec<f32> = source.values(heads).iter().map(|x| -x.abs()).collect();
    let skip = source.values(heads);
    let of = |row, channel: usize, slot| {
        let head = channel / head_dim;
        let column = head / (heads / groups) * size + slot;
        [
            step[[row, head]],
            rate[head],
            write[[row, column]],
            read[[row, column]],
        ]
    };
    let expected = state_space_naively(&x, size, of, |channel| skip[channel / head_dim]);
    let weights = StateSpace {
        rate: &rate,
        skip: &skip,
        groups,
        size,
    };
    for compute in computes() {
        let found = run(
            heads * head_dim * size,
            heads * head_dim,
            |spans, states, rows, output| {
                let part = |x| -> ArrayView2<'_, f32> {
                    ArrayView2::slice_axis_move(x, ndarray::Axis(0), rows.clone().into())
                };
                let input = ScanInput {
                    x: part(x.view()),
                    step: part(step.view()),
                    write: part(write.view()),
                    read: part(read.view()),
                };
                state_space(&compute, &weights, spans, states, input, output);
            },
        );
        assert_close(&found, &expected);
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let mut source = Random::new(5);
    let (state, key, value, query) = (
        source.values(37 * 53),
        source.values(37),
        source.values(53),
        source.values(37),
    );
    let results = computes().into_iter().map(|compute| {
        let kernels = &compute.kernels.state;
        let mut state = state.clone();
        let (mut recalled, mut out) = (vec![0.0; 53], vec![0.0; 53]);
        kernels.recall(&state, &key, &mut recalled);
        let memory = crate::Memory {
            decay: 0.9,
            key: &key,
            value: &value,
            query: &query,
        };
        kernels.remember(&mut state, memory, &mut out);
        kernels.multiply_add(&mut out, &recalled, &value);
        let scan = crate::Scan {
            decay: &value,
            input: &recalled,
            write: 0.3,
            read: 0.4,
        };
        kernels.scan(&mut state[..53], scan, &mut out);
        (state, recalled, out)
    });
    let results: Vec<_> = results.collect();
    assert!(results.iter().all(|result| *result == results[0]));
}
