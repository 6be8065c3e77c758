//! Attention of every instruction set against the formula in f64.

use super::*;
use crate::testing::Random;
use crate::{Kernels, KvLayout, KvType, KvTypes, ThreadPool};
use ndarray::{Array2, s};

/// A sequence of random keys and values, in pages, and as plain matrices of what the pages hold.
struct Past {
    pages: Vec<Arc<KvPage>>,
    keys: Array2<f32>,
    values: Array2<f32>,
}

fn random_rows(rows: usize, columns: usize, random: &mut Random) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |_| 2.0 * random.value())
}

fn past(compute: &Compute, layout: KvLayout, positions: usize, random: &mut Random) -> Past {
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
        append(
            compute,
            layout.layers - 1,
            &mut pages,
            part.start,
            keys,
            values,
        );
    }
    let keys = stored(
        &pages,
        keys.dim(),
        layout.types.keys,
        |page, head, slot, i| {
            let layer = layout.layers - 1;
            let center = page
                .center(layer, head)
                .map_or(0.0, |center| center[i].to_f32());
            page.keys(layer, head).key(i, slot) + center
        },
    );
    let values = stored(
        &pages,
        values.dim(),
        layout.types.values,
        |page, head, slot, i| page.values(layout.layers - 1, head).value(slot, i),
    );
    Past {
        pages,
        keys,
        values,
    }
}

/// What pages hold, rotated back: rounding on the way into a page is not attention's.
fn stored(
    pages: &[Arc<KvPage>],
    shape: (usize, usize),
    dtype: KvType,
    element: impl Fn(&KvPage, usize, usize, usize) -> f32,
) -> Array2<f32> {
    let dim = pages[0].layout().head_dim;
    let mut rows = Array2::zeros(shape);
    for (position, mut row) in rows.rows_mut().into_iter().enumerate() {
        let row = row.as_slice_mut().unwrap();
        for (head, vector) in row.chunks_exact_mut(dim).enumerate() {
            for (i, to) in vector.iter_mut().enumerate() {
                *to = element(&pages[position / PAGE], head, position % PAGE, i);
            }
            if dtype.is_rotated() {
                rotate(vector);
            }
        }
    }
    rows
}

/// The formula, one query at a time.
fn reference(
    attention: &Attention<'_>,
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
    let sink = attention
        .sinks
        .map_or(0.0, |sinks| (f64::from(sinks[head]) - max).exp());
    let sum = weights.iter().sum::<f64>() + sink;
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
    sinks: bool,
    /// Positions before the span, and tokens in it, of each sequence.
    spans: &'static [(usize, usize)],
}

const CASES: [Case; 9] = [
    Case {
        heads: 5,
        kv_heads: 1,
        head_dim: 33,
        softcap: None,
        window: None,
        sinks: false,
        spans: &[(60, 7), (0, 2)],
    },
    Case {
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        softcap: None,
        window: None,
        sinks: true,
        spans: &[(0, 1), (130, 1)],
    },
    Case {
        heads: 4,
        kv_heads: 4,
        head_dim: 80,
        softcap: None,
        window: None,
        sinks: false,
        spans: &[(0, 70)],
    },
    Case {
        heads: 8,
        kv_heads: 1,
        head_dim: 96,
        softcap: Some(5.0),
        window: None,
        sinks: true,
        spans: &[(63, 2), (64, 5)],
    },
    Case {
        heads: 4,
        kv_heads: 2,
        head_dim: 128,
        softcap: None,
        window: Some(40),
        sinks: false,
        spans: &[(100, 90)],
    },
    Case {
        heads: 2,
        kv_heads: 1,
        head_dim: 256,
        softcap: None,
        window: Some(1),
        sinks: true,
        spans: &[(5, 3)],
    },
    Case {
        heads: 3,
        kv_heads: 1,
        head_dim: 20,
        softcap: None,
        window: Some(64),
        sinks: false,
        spans: &[(250, 1), (0, 33)],
    },
    Case {
        heads: 40,
        kv_heads: 1,
        head_dim: 16,
        softcap: None,
        window: None,
        sinks: true,
        spans: &[(10, 4)],
    },
    Case {
        heads: 6,
        kv_heads: 2,
        head_dim: 32,
        softcap: None,
        window: None,
        sinks: false,
        spans: &[(1500, 1), (600, 2), (3, 1), (511, 2), (900, 40)],
    },
];

fn run(case: &Case, types: KvTypes, compute: &Compute) -> (Array2<f32>, Array2<f64>) {
    let Case {
        heads,
        kv_heads,
        head_dim,
        softcap,
        window,
        sinks,
        spans,
    } = *case;
    let mut random = Random::new(11);
    let layout = KvLayout {
        layers: 2,
        kv_heads,
        head_dim,
        types,
    };
    let scale = (head_dim as f32).sqrt().recip();
    let rows = random_rows(1, heads, &mut random);
    let attention = Attention {
        layer: 1,
        heads,
        kv_heads,
        head_dim,
        scale,
        softcap,
        window,
        sinks: rows.as_slice().filter(|_| sinks),
    };
    let pasts: Vec<_> = spans
        .iter()
        .map(|(start, tokens)| past(compute, layout, start + tokens, &mut random))
        .collect();
    let total = spans.iter().map(|span| span.1).sum();
    let mut queries = random_rows(total, heads * head_dim, &mut random);
    if compute.kernels.pairs().is_some() && types.keys == KvType::Bf16 {
        // Scaled queries are rounded to bf16: these are already.
        queries.mapv_inplace(|x| half::bf16::from_f32(x * scale).to_f32() / scale);
    }
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
    let output = attended(compute, &attention, &views, queries.view());
    (output, expected)
}

/// Every type of keys with every type of values.
fn all_types() -> impl Iterator<Item = KvTypes> {
    let keys = KvType::ALL.into_iter();
    keys.flat_map(|keys| KvType::ALL.map(|values| KvTypes { keys, values }))
}

#[test]
fn every_set_and_type_gives_the_formula() {
    for kernels in Kernels::under_test().unwrap() {
        let compute = Compute::of(kernels, ThreadPool::new(2).unwrap());
        for (index, case) in CASES.iter().enumerate() {
            for types in all_types() {
                let (found, expected) = run(case, types, &compute);
                for (found, expected) in found.iter().zip(&expected) {
                    // Values are at most 2; a score of some dozen rounded sums moves a weight by 1e-5. Where weights
                    // are rounded to bf16, each moves its part of the sum by 2^-9.
                    let rounded = kernels.pairs().is_some() && types.values == KvType::Bf16;
                    let tolerance = if rounded { 2.0 / 512.0 } else { 5e-5 };
                    let error = (f64::from(*found) - expected).abs();
                    let set = kernels.isa();
                    assert!(
                        error < tolerance,
                        "{set} case {index} {types:?}: {expected} {found}"
                    );
                }
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for (case, types) in CASES.iter().zip(all_types().step_by(2)) {
        let [one, two] = [1, 2].map(|threads| {
            let compute = Compute::of(Kernels::best(), ThreadPool::new(threads).unwrap());
            run(case, types, &compute).0
        });
        assert_eq!(one, two);
    }
}

#[test]
fn a_token_gets_the_same_bits_alone_and_among_others() {
    for kernels in Kernels::under_test().unwrap() {
        let compute = Compute::of(kernels, ThreadPool::new(2).unwrap());
        for dtype in KvType::ALL {
            alone_and_among_others(&compute, dtype, 64);
        }
        for head_dim in [16, 80, 128] {
            alone_and_among_others(&compute, KvType::Bf16, head_dim);
        }
    }
}

fn alone_and_among_others(compute: &Compute, dtype: KvType, head_dim: usize) {
    let layout = KvLayout {
        layers: 1,
        kv_heads: 1,
        head_dim,
        types: dtype.into(),
    };
    let mut random = Random::new(5);
    let (start, tokens) = (1100, 40);
    let past = past(compute, layout, start + tokens, &mut random);
    let queries = random_rows(tokens, 3 * head_dim, &mut random);
    for (window, softcap) in [(None, None), (Some(700), None), (Some(30), Some(4.0))] {
        let attention = Attention {
            layer: 0,
            heads: 3,
            kv_heads: 1,
            head_dim,
            scale: 0.125,
            softcap,
            window,
            sinks: Some(&[0.5, -1.0, 2.0]),
        };
        let run = |from: usize, queries: ndarray::ArrayView2<'_, f32>| {
            let span = AttentionSpan {
                pages: &past.pages,
                start: start + from,
                rows: 0..queries.nrows(),
            };
            attended(compute, &attention, &[span], queries)
        };
        let together = run(0, queries.view());
        for token in 0..tokens {
            let row = s![token..token + 1, ..];
            assert_eq!(
                together.slice(row),
                run(token, queries.slice(row)),
                "{dtype}, {head_dim} features, token {token}"
            );
        }
    }
}

fn attended(
    compute: &Compute,
    attention: &Attention<'_>,
    spans: &[AttentionSpan<'_>],
    queries: ArrayView2<'_, f32>,
) -> Array2<f32> {
    let mut output = Array2::from_elem(queries.dim(), f32::NAN);
    let mut scratch = AttentionScratch::default();
    attend(
        compute,
        attention,
        spans,
        queries,
        output.view_mut(),
        &mut scratch,
    );
    output
}

/// A model may add the same large numbers to all keys. They cancel out, and must not coarsen what is rounded beside them.
#[test]
fn what_all_keys_have_in_common_costs_nothing() {
    let mut random = Random::new(17);
    let (positions, tokens, head_dim) = (150, 20, 64);
    let attention = Attention {
        layer: 0,
        heads: 2,
        kv_heads: 1,
        head_dim,
        scale: 0.125,
        softcap: None,
        window: None,
        sinks: None,
    };
    let keys = random_rows(positions, head_dim, &mut random);
    let values = random_rows(positions, head_dim, &mut random);
    let queries = random_rows(tokens, 2 * head_dim, &mut random);
    for kernels in Kernels::under_test().unwrap() {
        let compute = Compute::of(kernels, ThreadPool::new(1).unwrap());
        for dtype in KvType::ALL {
            let layout = KvLayout {
                layers: 1,
                kv_heads: 1,
                head_dim,
                types: KvTypes {
                    keys: dtype,
                    values: KvType::F32,
                },
            };
            let run = |common: f32| {
                let new_page = || Arc::new(KvPage::new(layout));
                let mut pages: Vec<_> = (0..positions.div_ceil(PAGE)).map(|_| new_page()).collect();
                let mut keys = keys.clone();
                keys.column_mut(5).mapv_inplace(|x| x + common);
                append(&compute, 0, &mut pages, 0, keys.view(), values.view());
                let span = AttentionSpan {
                    pages: &pages,
                    start: positions - tokens,
                    rows: 0..tokens,
                };
                attended(&compute, &attention, &[span], queries.view())
            };
            let tolerance = match dtype {
                KvType::Q4_0 => 0.3,
                KvType::F16 => 0.02,
                _ => 0.01,
            };
            for (plain, moved) in run(0.0).iter().zip(&run(200.0)) {
                let set = kernels.isa();
                assert!(
                    (plain - moved).abs() < tolerance,
                    "{set} {dtype}: {plain} {moved}"
                );
            }
        }
    }
}

#[test]
fn widened_planes_hold_the_stored_elements() {
    let compute = Compute::new(1).unwrap();
    let mut random = Random::new(8);
    for dtype in KvType::ALL {
        for head_dim in [5, 33, 64, 80, 96, 128, 256] {
            let layout = KvLayout {
                layers: 1,
                kv_heads: 1,
                head_dim,
                types: dtype.into(),
            };
            let page = &past(&compute, layout, PAGE - 3, &mut random).pages[0];
            let (keys, values) = (page.keys(0, 0), page.values(0, 0));
            let dim = keys.dim();
            let mut wide = vec![f32::NAN; dim * PAGE];
            for kernels in Kernels::under_test().unwrap() {
                kernels.widen_keys(keys, &mut wide);
                let key = |at: usize| keys.key(at / PAGE, at % PAGE);
                assert!((0..dim * PAGE).all(|at| wide[at] == key(at)), "{dtype}");
                kernels.widen_values(values, &mut wide);
                let value = |at: usize| values.value(at / dim, at % dim);
                assert!((0..dim * PAGE).all(|at| wide[at] == value(at)), "{dtype}");
            }
        }
    }
}
