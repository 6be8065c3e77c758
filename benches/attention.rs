//! Attention at a depth of 4096 over caches of every type: bytes a second in decode, products a second in prefill.
//!
//! The shape is that of a small model (9 query heads on 3 key/value heads of 64, 30 layers); one iteration of decode runs
//! all layers, so that the cache comes from memory as it does between two tokens.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dino_kernels::ops::{Attention, AttentionScratch, AttentionSpan, append, attend};
use dino_kernels::{Compute, KvLayout, KvPage, KvType, PAGE};
use ndarray::Array2;
use std::sync::Arc;
use std::time::Duration;

const DEPTH: usize = 4096;
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const HEAD_DIM: usize = 64;
const LAYERS: usize = 30;

/// A cache of `layers` layers, filled.
fn cache(compute: &Compute, dtype: KvType, layers: usize) -> Vec<Arc<KvPage>> {
    let layout = KvLayout {
        layers,
        kv_heads: KV_HEADS,
        head_dim: HEAD_DIM,
        types: dtype.into(),
    };
    let page = |_| Arc::new(KvPage::new(layout));
    let mut pages: Vec<_> = (0..DEPTH / PAGE).map(page).collect();
    let wave = |(row, column): (usize, usize)| ((row * 31 + column * 17) as f32).sin();
    let rows = Array2::from_shape_fn((DEPTH, KV_HEADS * HEAD_DIM), wave);
    for layer in 0..layers {
        append(compute, layer, &mut pages, 0, rows.view(), rows.view());
    }
    pages
}

fn attention(layer: usize) -> Attention<'static> {
    Attention {
        layer,
        heads: HEADS,
        kv_heads: KV_HEADS,
        head_dim: HEAD_DIM,
        scale: 0.125,
        softcap: None,
        window: None,
        sinks: None,
    }
}

/// One pass of `tokens` tokens at the end of the cache over `layers` layers.
fn pass<'a>(
    compute: &'a Compute,
    pages: &'a [Arc<KvPage>],
    tokens: usize,
    layers: usize,
) -> impl FnMut() + 'a {
    let queries = Array2::from_shape_fn((tokens, HEADS * HEAD_DIM), |(row, column)| {
        ((row * 7 + column) as f32).cos()
    });
    let mut output = Array2::zeros(queries.dim());
    let mut scratch = AttentionScratch::default();
    move || {
        for layer in 0..layers {
            let span = AttentionSpan {
                pages,
                start: DEPTH - tokens,
                rows: 0..tokens,
            };
            attend(
                compute,
                &attention(layer),
                &[span],
                queries.view(),
                output.view_mut(),
                &mut scratch,
            );
        }
    }
}

fn depth(c: &mut Criterion) {
    for threads in [1, 0] {
        let compute = Compute::new(threads).expect("threads start");
        let threads = compute.pool.threads();
        for dtype in KvType::ALL {
            let pages = cache(&compute, dtype, LAYERS);
            let mut group = c.benchmark_group(format!("attention/{dtype}/threads={threads}"));
            let bytes = pages.len() * pages[0].layout().page_bytes();
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function("decode", |bencher| {
                bencher.iter(pass(&compute, &pages, 1, LAYERS));
            });
            // One layer again and again: what decode would cost if memory cost nothing.
            group.throughput(Throughput::Bytes((bytes / LAYERS) as u64));
            group.bench_function("decode from the caches", |bencher| {
                bencher.iter(pass(&compute, &pages, 1, 1));
            });
            let products = 2 * 256 * (DEPTH - 128) * HEADS * HEAD_DIM;
            group.throughput(Throughput::Elements(products as u64));
            group.bench_function("prefill of 256", |bencher| {
                bencher.iter(pass(&compute, &pages, 256, 1));
            });
        }
    }
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
}

criterion_group!(name = kernels; config = quick(); targets = depth);
criterion_main!(kernels);
