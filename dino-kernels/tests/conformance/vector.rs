//! Every instruction set's vector kernels against formulas in f64, over ragged lengths.
//!
//! The scalar kernels are among those tested: the reference here is independent of them.

use crate::common::{LENGTHS, assert_close, guarded, kernels, values};
use dino_kernels::{Activation, Angles, LayerNorm, VectorKernels};

const EPS: f64 = f32::EPSILON as f64;

/// Runs `test` with the vector kernels and the name of each instruction set.
fn for_each_isa(test: impl Fn(&VectorKernels, &str)) {
    for kernels in kernels() {
        test(&kernels.vector, kernels.isa().name());
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

/// The error that a sum of `n` values may have, in relation to the sum of their magnitudes.
fn sum_error(n: usize) -> f64 {
    (n as f64 / 32.0 + 8.0) * EPS
}

#[test]
fn rms_norm() {
    for_each_isa(|kernels, isa| {
        for n in LENGTHS {
            let (x, weight) = (values(3 * n, 3.0, 1), values(n, 2.0, 2));
            let found = guarded(&x, |x| kernels.rms_norm(x, &weight, 1e-5));
            let expected: Vec<f64> = wide(&x)
                .chunks(n.max(1))
                .flat_map(|row| {
                    let mean = row.iter().map(|x| x * x).sum::<f64>() / n as f64;
                    let factor = 1.0 / (mean + f64::from(1e-5_f32)).sqrt();
                    row.iter()
                        .zip(&weight)
                        .map(move |(x, &w)| x * factor * f64::from(w))
                        .collect::<Vec<_>>()
                })
                .collect();
            assert_close(isa, &found, &expected, |i| expected[i].abs() * sum_error(n));
        }
    });
}

#[test]
fn rms_norm_of_zeros_is_zero() {
    for_each_isa(|kernels, _| {
        let found = guarded(&[0.0; 40], |x| kernels.rms_norm(x, &[1.0; 20], 1e-6));
        assert_eq!(found, [0.0; 40]);
    });
}

#[test]
fn layer_norm() {
    for_each_isa(|kernels, isa| {
        for n in LENGTHS {
            let x: Vec<f32> = values(2 * n, 3.0, 1).iter().map(|x| x + 1.0).collect();
            let (weight, bias) = (values(n, 2.0, 2), values(n, 1.0, 3));
            for bias in [None, Some(bias.as_slice())] {
                let norm = LayerNorm {
                    weight: &weight,
                    bias,
                    epsilon: 1e-5,
                };
                let found = guarded(&x, |x| kernels.layer_norm(x, norm));
                let expected = layer_norm_f64(&x, norm);
                // Both the mean and the variance are sums; |x| ≤ 4 and no variance here is below 1e-5.
                let scale = if n < 7 { 400.0 } else { 8.0 };
                assert_close(isa, &found, &expected, |_| scale * 4.0 * sum_error(n));
            }
        }
    });
}

fn layer_norm_f64(x: &[f32], norm: LayerNorm<'_>) -> Vec<f64> {
    let n = norm.weight.len();
    let mut out = Vec::new();
    for row in wide(x).chunks(n.max(1)) {
        let mean = row.iter().sum::<f64>() / n as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        let factor = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
        for (i, x) in row.iter().enumerate() {
            let bias = norm.bias.map_or(0.0, |bias| f64::from(bias[i]));
            out.push((x - mean) * factor * f64::from(norm.weight[i]) + bias);
        }
    }
    out
}

#[test]
fn rope_of_both_pairings() {
    for_each_isa(|kernels, isa| {
        for (heads, head_dim, planes) in [
            (1, 2, 1),
            (3, 64, 32),
            (2, 80, 16),
            (5, 24, 11),
            (2, 128, 64),
            (3, 7, 3),
            (2, 8, 0),
        ] {
            let x = values(heads * head_dim, 2.0, 1);
            let turns = values(planes, 3.0, 2);
            let cos: Vec<f32> = turns.iter().map(|t| t.cos()).collect();
            let sin: Vec<f32> = turns.iter().map(|t| t.sin()).collect();
            let angles = Angles {
                cos: &cos,
                sin: &sin,
            };
            let pairs = guarded(&x, |x| kernels.rope_pairs(x, head_dim, angles));
            let halves = guarded(&x, |x| kernels.rope_halves(x, head_dim, angles));
            // How far apart the two of a pair are, and two pairs.
            for (found, apart, step) in [(pairs, 1, 2), (halves, planes, 1)] {
                let mut expected = wide(&x);
                for head in expected.chunks_mut(head_dim) {
                    for i in 0..planes {
                        let (first, second) = (i * step, i * step + apart);
                        let (c, s) = (f64::from(cos[i]), f64::from(sin[i]));
                        let (x, y) = (head[first], head[second]);
                        (head[first], head[second]) = (x * c - y * s, x * s + y * c);
                    }
                }
                assert_close(isa, &found, &expected, |_| 4.0 * EPS);
            }
        }
    });
}

#[test]
fn softmax() {
    for_each_isa(|kernels, isa| {
        for n in LENGTHS {
            let mut x = values(n, 20.0, 1);
            if let Some(last) = x.get_mut(5) {
                *last = f32::NEG_INFINITY;
            }
            let found = guarded(&x, |x| kernels.softmax(x));
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let e: Vec<f64> = x
                .iter()
                .map(|&x| (f64::from(x) - f64::from(max)).exp())
                .collect();
            let sum: f64 = e.iter().sum();
            let expected: Vec<f64> = e.iter().map(|e| e / sum).collect();
            // The difference to the maximum, up to 40, is rounded before it is an exponent.
            assert_close(isa, &found, &expected, |i| {
                expected[i] * (40.0 * EPS + sum_error(n)) + 1e-37
            });
        }
    });
}

#[test]
fn softmax_of_what_has_none_is_nan() {
    for_each_isa(|kernels, isa| {
        for n in LENGTHS.into_iter().filter(|&n| n > 0) {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut x = values(n, 1.0, 1);
                x[n / 2] = bad;
                let found = guarded(&x, |x| kernels.softmax(x));
                assert!(
                    found.iter().all(|x| x.is_nan() || (bad > 0.0 && *x == 0.0)),
                    "{isa}, {n}, {bad}"
                );
                assert!(found[n / 2].is_nan());
            }
            let found = guarded(&vec![f32::NEG_INFINITY; n], |x| kernels.softmax(x));
            assert!(found.iter().all(|x| x.is_nan()), "{isa}, {n}");
        }
    });
}

/// `found` and `expected` differ by at most `ulps` units in the last place of f32.
#[track_caller]
fn assert_ulps(what: &str, x: &[f32], found: &[f32], exact: impl Fn(f64) -> f64, ulps: f64) {
    for (&x, &found) in x.iter().zip(found) {
        let exact = exact(f64::from(x));
        let rounded = exact as f32;
        if f64::from(found) == exact || found == rounded || (found.is_nan() && exact.is_nan()) {
            continue;
        }
        let unit = (f64::from(rounded.abs().next_up()) - f64::from(rounded.abs()))
            .max(f64::from(f32::from_bits(1)));
        let error = (f64::from(found) - exact).abs() / unit;
        assert!(
            error <= ulps,
            "{what}({x}) = {found}, not {exact}: {error} ulp"
        );
    }
}

fn sweep(from: f32, to: f32) -> Vec<f32> {
    let special = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.0,
        -0.0,
        1e-30,
        -1e-30,
        f32::MAX,
        f32::MIN,
    ];
    let steps = (0..200_000).map(|i| from + (to - from) * (i as f32 / 200_000.0));
    steps.chain(special).collect()
}

#[test]
fn exp_to_two_units() {
    for_each_isa(|kernels, isa| {
        let x = sweep(-110.0, 95.0);
        let found = guarded(&x, |x| kernels.exp(x));
        assert_ulps(isa, &x, &found, f64::exp, 2.0);
    });
}

#[test]
fn soft_cap_to_four_units() {
    for_each_isa(|kernels, isa| {
        let x = sweep(-12.0, 12.0);
        assert_ulps(
            isa,
            &x,
            &guarded(&x, |x| kernels.soft_cap(x, 1.0)),
            f64::tanh,
            3.0,
        );
        let x = sweep(-200.0, 200.0);
        let exact = |x: f64| 30.0 * (x / 30.0).tanh();
        assert_ulps(
            isa,
            &x,
            &guarded(&x, |x| kernels.soft_cap(x, 30.0)),
            exact,
            4.0,
        );
    });
}

/// Φ in f64 by its Taylor series, good to 1e-15 where it is used.
fn normal(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x < 0.0 { 0.0 } else { 1.0 };
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-18 {
        n += 2.0;
        term *= x * x / n;
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The activation in f64, and how far f32 may be off.
fn activation(x: f64, activation: Activation) -> (f64, f64) {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let near = |y: f64, exponent: f64| (y, y.abs() * (8.0 + 4.0 * exponent.abs()) * EPS + 1e-36);
    match activation {
        Activation::Silu => near(x * sigmoid(x), 0.0),
        Activation::GeluTanh => {
            let inner = (8.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            near(x * sigmoid(inner), inner)
        }
        Activation::GeluErf => (x * normal(x), 4e-7 * x.abs()),
        Activation::Relu => (x.max(0.0), 0.0),
        Activation::ReluSquared => (x.max(0.0).powi(2), x * x * EPS),
        other => panic!("{other:?} has no test"),
    }
}

const ACTIVATIONS: [Activation; 5] = [
    Activation::Silu,
    Activation::GeluTanh,
    Activation::GeluErf,
    Activation::Relu,
    Activation::ReluSquared,
];

#[test]
fn activations() {
    for_each_isa(|kernels, isa| {
        for kind in ACTIVATIONS {
            let x: Vec<f32> = (-20_000..20_000).map(|i| i as f32 / 1000.0).collect();
            let (expected, allowed): (Vec<f64>, Vec<f64>) =
                x.iter().map(|&x| activation(f64::from(x), kind)).unzip();
            let found = guarded(&x, |x| kernels.activate(x, kind));
            assert_close(&format!("{isa} {kind:?}"), &found, &expected, |i| {
                allowed[i]
            });
        }
    });
}

#[test]
fn gated_activations() {
    for_each_isa(|kernels, isa| {
        for n in LENGTHS {
            for kind in ACTIVATIONS {
                let (gate, up) = (values(n, 6.0, 1), values(n, 3.0, 2));
                let found = guarded(&gate, |gate| kernels.activate_gate(gate, &up, kind));
                let alone = guarded(&gate, |gate| kernels.activate(gate, kind));
                let expected: Vec<f64> = alone
                    .iter()
                    .zip(&up)
                    .map(|(&a, &b)| f64::from(a * b))
                    .collect();
                assert_close(&format!("{isa} {kind:?}"), &found, &expected, |_| 0.0);
            }
        }
    });
}

#[test]
fn sums_and_products() {
    for_each_isa(|kernels, isa| {
        for n in LENGTHS {
            let (x, y) = (values(n, 3.0, 1), values(n, 2.0, 2));
            let both = || x.iter().zip(&y);
            let added: Vec<f64> = both().map(|(x, y)| f64::from(x + y)).collect();
            assert_close(isa, &guarded(&x, |x| kernels.add(x, &y)), &added, |_| 0.0);
            assert_close(
                isa,
                &guarded(&x, |x| kernels.copy(x, &y)),
                &wide(&y),
                |_| 0.0,
            );
            let scaled: Vec<f64> = x.iter().map(|x| f64::from(x * 0.3)).collect();
            assert_close(
                isa,
                &guarded(&x, |x| kernels.scale(x, 0.3)),
                &scaled,
                |_| 0.0,
            );
            let factor = f64::from(0.7_f32);
            let sum: Vec<f64> = both()
                .map(|(&x, &y)| f64::from(x) + factor * f64::from(y))
                .collect();
            assert_close(
                isa,
                &guarded(&x, |x| kernels.add_scaled(x, &y, 0.7)),
                &sum,
                |_| 4.0 * EPS,
            );

            let products: Vec<f64> = both().map(|(&x, &y)| f64::from(x) * f64::from(y)).collect();
            let magnitude: f64 = products.iter().map(|p| p.abs()).sum();
            let dot = [kernels.dot(&x, &y)];
            assert_close(isa, &dot, &[products.iter().sum()], |_| {
                magnitude * sum_error(n)
            });
        }
    });
}

#[test]
fn maxima_pass_over_nan() {
    for_each_isa(|kernels, isa| {
        for n in LENGTHS.into_iter().filter(|&n| n > 0) {
            // All negative: a zero from beyond the end must not win.
            let mut x: Vec<f32> = values(n, 2.0, 1).iter().map(|x| x - 5.0).collect();
            for place in [0, n / 2, n - 1] {
                x[place] = -1.0;
                assert_eq!(kernels.max(&x), -1.0, "{isa}, {n}");
                assert_eq!(kernels.argmax(&x), Some(place), "{isa}, {n}");
                x[place] = f32::NAN;
            }
        }
        assert_eq!(kernels.max(&[]), f32::NEG_INFINITY);
        assert_eq!(kernels.argmax(&[]), None);
        assert_eq!(kernels.argmax(&[f32::NAN; 20]), None);
        assert_eq!(kernels.argmax(&[1.0, 2.0, 2.0]), Some(1));
    });
}

#[test]
#[should_panic(expected = "lengths differ")]
fn unequal_lengths_are_refused() {
    kernels()[0].vector.add(&mut [0.0; 3], &[0.0; 4]);
}
