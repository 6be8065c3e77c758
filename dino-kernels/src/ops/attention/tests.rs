//! Attention of every instruction set against the formula in f64.

use super::*;
use crate::testing::Random;
use crate::{Kernels, KvLayout, KvType, ThreadPool};
use ndarray::{Array2, s};

/// A sequence of random keys and values, in pages and as plain matrices.
struct Past {
    pages: Vec<Arc<KvPage>>,
    keys: Array2<f32>,
    values: Array2<f32>,
}

/// Values that f16 holds exactly, so that both cache types give the same result.
fn random_rows(rows: usize, columns: usize, random: &mut Random) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |_| {
        half::f16::from_f32(2.0 * random.value()).to_f32()
    })
}

fn past(layout: KvLayout, positions: usize, random: &mut Random) -> Past {
    let width = layout.kv_heads * layout.head_dim;
    let keys = random_rows(positions, width, random);
    let values = random_rows(positions, width, random);
    let new_page = || Arc::new(KvPage::new(layout));
    let mut pages: Vec<_> = (0..positions.div_ceil(PAGE)).map(|_| new_page()).collect();
    // In two steps, so that a page is continued.
    let cut = positions / 3;
    for part in [0..cut, cut..positions] {
        let (keys, values) = (
            keys.slice(s![part.clone(), ..]),
            values.slice(s![part.clone(), ..]),
        );
        append(layout.layers - 1, &mut pages, part.start, keys, values);
    }
    Past {
        pages,
        keys,
        values,
    }
}

/// The formula, one query at a time.
fn reference(
    attention: &Attention,
    past: &Past,
    query: &[f32],
    position: usize,
    head: usize,
) -> Vec<f64> {
    let dim = attention.head_dim;
    let kv = head / (attention.heads / attention.kv_heads) * dim;
    let oldest = attention
        .window
        .map_or(0, |window| (position + 1).saturating_sub(window));
    let scores: Vec<f64> = (oldest..=position)
        .map(|at| {
            let key = past.keys.row(at);
            let dot: f64 = (0..dim)
                .map(|i| f64::from(query[i]) * f64::from(key[kv + i]))
                .sum();
            let score = dot * f64::from(attention.scale);
            attention.softcap.map_or(score, |cap| {
                f64::from(cap) * (score / f64::from(cap)).tanh()
            })
        })
        .collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mixed = |i: usize| {
        let positions = weights.iter().zip(oldest..);
        positions
            .map(|(w, at)| w * f64::from(past.values[[at, kv + i]]))
            .sum::<f64>()
            / sum
    };
    (0..dim).map(mixed).collect()
}

struct Case {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    softcap: Option<f32>,
    window: Option<usize>,
    /// Positions before the span, and tokens in it, of each sequence.
    spans: &'static [(usize, usize)],
}

const CASES: [Case; 8] = [
    Case {
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        softcap: None,
        window: None,
        spans: &[(0, 1), (130, 1)],
    },
    Case {
        heads: 4,
        kv_heads: 4,
        head_dim: 80,
        softcap: None,
        window: None,
        spans: &[(0, 70)],
    },
    Case {
        heads: 8,
        kv_heads: 1,
        head_dim: 96,
        softcap: Some(5.0),
        window: None,
        spans: &[(63, 2), (64, 5)],
    },
    Case {
        heads: 4,
        kv_heads: 2,
        head_dim: 128,
        softcap: None,
        window: Some(40),
        spans: &[(100, 90)],
    },
    Case {
        heads: 2,
        kv_heads: 1,
        head_dim: 256,
        softcap: None,
        window: Some(1),
        spans: &[(5, 3)],
    },
    Case {
        heads: 3,
        kv_heads: 1,
        head_dim: 20,
        softcap: None,
        window: Some(64),
        spans: &[(250, 1), (0, 33)],
    },
    Case {
        heads: 40,
        kv_heads: 1,
        head_dim: 16,
        softcap: None,
        window: None,
        spans: &[(10, 4)],
    },
    Case {
        heads: 6,
        kv_heads: 2,
        head_dim: 32,
        softcap: None,
        window: None,
        spans: &[(1500, 1), (600, 2), (3, 1), (511, 2), (900, 40)],
    },
];

fn run(case: &Case, dtype: KvType, compute: &Compute) -> (Array2<f32>, Array2<f64>) {
    let Case {
        heads,
        kv_heads,
        head_dim,
        softcap,
        window,
        spans,
    } = *case;
    let mut random = Random::new(11);
    let layout = KvLayout {
        layers: 2,
        kv_heads,
        head_dim,
        dtype,
    };
    let scale = (head_dim as f32).sqrt().recip();
    let attention = Attention {
        layer: 1,
        heads,
        kv_heads,
        head_dim,
        scale,
        softcap,
        window,
    };
    let pasts: Vec<_> = spans
        .iter()
        .map(|(start, tokens)| past(layout, start + tokens, &mut random))
        .collect();
    let total = spans.iter().map(|span| span.1).sum();
    let queries = random_rows(total, heads * head_dim, &mut random);
    let mut expected = Array2::zeros(queries.dim());
    let mut row = 0;
    let mut views = Vec::new();
    for (past, &(start, tokens)) in pasts.iter().zip(spans) {
        views.push(AttentionSpan {
            pages: &past.pages,
            start,
            rows: row..row + tokens,
        });
        for token in 0..tokens {
            for head in 0..heads {
                let columns = head * head_dim..(head + 1) * head_dim;
                let query = queries.slice(s![row + token, columns.clone()]).to_vec();
                let result = reference(&attention, past, &query, start + token, head);
                expected
                    .slice_mut(s![row + token, columns])
                    .assign(&ndarray::Array1::from(result));
            }
        }
        row += tokens;
    }
    let mut output = Array2::from_elem(queries.dim(), f32::NAN);
    let mut scratch = AttentionScratch::default();
    attend(
        compute,
        &attention,
        &views,
        queries.view(),
        output.view_mut(),
        &mut scratch,
    );
    (output, expected)
}

#[test]
fn every_set_and_type_gives_the_formula() {
    for kernels in Kernels::under_test().unwrap() {
        let compute = Compute {
            kernels,
            pool: ThreadPool::new(2).unwrap(),
        };
        for (index, case) in CASES.iter().enumerate() {
            for dtype in [KvType::F16, KvType::F32] {
                let (found, expected) = run(case, dtype, &compute);
                for (found, expected) in found.iter().zip(&expected) {
                    // Values are at most 2; a score of some dozen rounded sums moves a weight by 1e-5.
                    let error = (f64::from(*found) - expected).abs();
                    let set = kernels.isa();
                    assert!(
                        error < 5e-5,
                        "{set} case {index} {dtype:?}: {expected} {found}"
                    );
                }
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for case in &CASES {
        let [one, two] = [1, 2].map(|threads| {
            let compute = Compute {
                kernels: Kernels::best(),
                pool: ThreadPool::new(threads).unwrap(),
            };
            run(case, KvType::F16, &compute).0
        });
        assert_eq!(one, two);
    }
}

#[test]
fn a_token_gets_the_same_bits_alone_and_among_others() {
    let compute = Compute {
        kernels: Kernels::best(),
        pool: ThreadPool::new(2).unwrap(),
    };
    let layout = KvLayout {
        layers: 1,
        kv_heads: 1,
        head_dim: 64,
        dtype: KvType::F16,
    };
    let mut random = Random::new(5);
    let (start, tokens) = (1100, 40);
    let past = past(layout, start + tokens, &mut random);
    let queries = random_rows(tokens, 192, &mut random);
    for window in [None, Some(700)] {
        let attention = Attention {
            layer: 0,
            heads: 3,
            kv_heads: 1,
            head_dim: 64,
            scale: 0.125,
            softcap: None,
            window,
        };
        let mut scratch = AttentionScratch::default();
        let mut run = |from: usize, queries: ndarray::ArrayView2<'_, f32>| {
            let mut output = Array2::zeros(queries.dim());
            let rows = 0..queries.nrows();
            let span = AttentionSpan {
                pages: &past.pages,
                start: start + from,
                rows,
            };
            attend(
                &compute,
                &attention,
                &[span],
                queries,
                output.view_mut(),
                &mut scratch,
            );
            output
        };
        let together = run(0, queries.view());
        for token in 0..tokens {
            let row = s![token..token + 1, ..];
            assert_eq!(
                together.slice(row),
                run(token, queries.slice(row)),
                "token {token}"
            );
        }
    }
}
