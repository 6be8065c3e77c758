//! Attention over the paged cache, for one token and for many.
//!
//! All query heads of a group, and several tokens, are rows of one tile product with the keys that they share:
//! a key is read once for all of them. The softmax runs along the pages (Dao et al., FlashAttention-2,
//! arXiv:2307.08691), so that no row of scores is ever longer than a page.

use crate::Compute;
use crate::kv::{KvPage, KvTile, PAGE};
use crate::output::Output;
use crate::table::{KvElement, Softness};
use half::slice::HalfFloatSliceExt as _;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

/// What attention computes in one layer.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// The layer of the cache.
    pub layer: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Values in a query, key or value.
    pub head_dim: usize,
    /// What scores are multiplied by.
    pub scale: f32,
    /// `softcap * tanh(score / softcap)`, where a model limits its scores.
    pub softcap: Option<f32>,
    /// How many positions a token sees, itself included; `None` for all.
    pub window: Option<usize>,
}

/// One sequence's share of a batch.
#[derive(Clone, Debug)]
pub struct AttentionSpan<'a> {
    /// The sequence's pages; the new tokens' keys and values are already in.
    pub pages: &'a [Arc<KvPage>],
    /// The position of the span's first token.
    pub start: usize,
    /// Its rows in the batch.
    pub rows: Range<usize>,
}

/// Rows of a tile product.
const ROWS: usize = 32;

/// Stores the keys and values (`[tokens, kv_heads * head_dim]`) of new tokens from position `start` on.
///
/// # Panics
/// If a page is missing or shared, or shapes do not fit.
pub fn append(
    layer: usize,
    pages: &mut [Arc<KvPage>],
    start: usize,
    keys: ArrayView2<'_, f32>,
    values: ArrayView2<'_, f32>,
) {
    assert_eq!(keys.dim(), values.dim(), "a key and a value for each token");
    let (keys, values) = (keys.to_slice(), values.to_slice());
    let (keys, values) = keys
        .zip(values)
        .expect("keys and values in standard layout");
    if keys.is_empty() {
        return;
    }
    let layout = pages[0].layout();
    let width = layout.kv_heads * layout.head_dim;
    let tokens = keys.len() / width;
    assert_eq!(keys.len(), tokens * width, "keys of every head");
    let end = start + tokens;
    assert!(pages.len() * PAGE >= end, "pages for every position");
    let written = pages.iter_mut().enumerate().take(end.div_ceil(PAGE));
    for (index, page) in written.skip(start / PAGE) {
        let first = (index * PAGE).max(start);
        let last = ((index + 1) * PAGE).min(end);
        let page = Arc::get_mut(page).expect("a page that is written is not shared");
        for (head, mut tile) in page.tiles_mut(layer).enumerate() {
            for position in first..last {
                let from = (position - start) * width + head * layout.head_dim;
                let range = from..from + layout.head_dim;
                tile.write(position % PAGE, &keys[range.clone()], &values[range]);
            }
        }
    }
}

/// Attends from `queries` (`[tokens, heads * head_dim]`) to each span's own past, into `output` (same shape).
///
/// # Panics
/// If shapes do not fit.
pub fn attend(
    compute: &Compute,
    attention: &Attention,
    spans: &[AttentionSpan<'_>],
    queries: ArrayView2<'_, f32>,
    output: ArrayViewMut2<'_, f32>,
) {
    assert_eq!(queries.dim(), output.dim(), "a result for each query");
    assert_eq!(
        queries.ncols(),
        attention.heads * attention.head_dim,
        "queries of every head"
    );
    assert!(
        attention.heads.is_multiple_of(attention.kv_heads),
        "heads in groups"
    );
    let queries = queries.to_slice().expect("queries in standard layout");
    let output = Output::new(output, None, false);
    let job = Job {
        compute,
        attention,
        queries,
        output: &output,
    };
    let tasks = |span: &AttentionSpan<'_>| job.tiles(span) * attention.kv_heads;
    compute.pool.run(spans.iter().map(tasks).sum(), |mut task| {
        for span in spans {
            if task < tasks(span) {
                return job.run(span, task % attention.kv_heads, task / attention.kv_heads);
            }
            task -= tasks(span);
        }
    });
}

struct Job<'a> {
    compute: &'a Compute,
    attention: &'a Attention,
    queries: &'a [f32],
    output: &'a Output<'a>,
}

/// Buffers of one worker, kept between calls.
#[derive(Default)]
struct Worker {
    queries: Vec<f32>,
    scores: Vec<f32>,
    results: Vec<f32>,
    states: Vec<Softness>,
    keys: Vec<f32>,
    values: Vec<f32>,
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

impl Job<'_> {
    fn group(&self) -> usize {
        self.attention.heads / self.attention.kv_heads
    }

    fn tokens_a_tile(&self) -> usize {
        (ROWS / self.group()).max(1)
    }

    fn tiles(&self, span: &AttentionSpan<'_>) -> usize {
        span.rows.len().div_ceil(self.tokens_a_tile())
    }

    /// One tile of tokens of one key/value head.
    fn run(&self, span: &AttentionSpan<'_>, head: usize, tile: usize) {
        let first = tile * self.tokens_a_tile();
        let tokens = first..(first + self.tokens_a_tile()).min(span.rows.len());
        WORKER.with_borrow_mut(|worker| {
            let dim = span.pages[0].layout().padded_dim();
            self.load_queries(worker, span, head, tokens.clone(), dim);
            let last = (span.start + tokens.end - 1) / PAGE;
            for page in self.first_page(span.start + tokens.start)..=last {
                self.visit(worker, span, head, tokens.clone(), page);
            }
            self.store(worker, span, head, tokens, dim);
        });
    }

    fn first_page(&self, position: usize) -> usize {
        self.attention
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window) / PAGE)
    }

    /// Gathers the scaled queries of a tile, padded to whole registers, `[tokens × group, dim]`.
    fn load_queries(
        &self,
        worker: &mut Worker,
        span: &AttentionSpan<'_>,
        head: usize,
        tokens: Range<usize>,
        dim: usize,
    ) {
        let Attention {
            heads,
            head_dim,
            scale,
            ..
        } = *self.attention;
        let group = self.group();
        let rows = tokens.len() * group;
        worker.queries.clear();
        worker.queries.resize(rows * dim, 0.0);
        worker.results.clear();
        worker.results.resize(rows * dim, 0.0);
        worker.states.clear();
        worker.states.resize(rows, Softness::EMPTY);
        worker.scores.resize(rows * PAGE, 0.0);
        for (row, to) in worker.queries.chunks_exact_mut(dim).enumerate() {
            let token = span.rows.start + tokens.start + row / group;
            let from = (token * heads + head * group + row % group) * head_dim;
            for (to, x) in to.iter_mut().zip(&self.queries[from..from + head_dim]) {
                *to = x * scale;
            }
        }
    }

    fn visit(
        &self,
        worker: &mut Worker,
        span: &AttentionSpan<'_>,
        head: usize,
        tokens: Range<usize>,
        page: usize,
    ) {
        let first = span.start + tokens.start;
        let positions = page * PAGE..(page + 1) * PAGE;
        let visible = Visible {
            first,
            page: positions.start,
            window: self.attention.window,
        };
        let count = (span.start + tokens.end).min(positions.end) - positions.start;
        match span.pages[page].tile(self.attention.layer, head) {
            KvTile::F16 { keys, values } if worker.states.len() >= 8 => {
                let mut wide = std::mem::take(&mut worker.keys);
                wide.resize(keys.len(), 0.0);
                keys.convert_to_f32_slice(&mut wide);
                let mut wide_values = std::mem::take(&mut worker.values);
                wide_values.resize(values.len(), 0.0);
                values.convert_to_f32_slice(&mut wide_values);
                self.visit_tile(worker, &wide, &wide_values, visible, count);
                (worker.keys, worker.values) = (wide, wide_values);
            }
            KvTile::F16 { keys, values } => self.visit_tile(worker, keys, values, visible, count),
            KvTile::F32 { keys, values } => self.visit_tile(worker, keys, values, visible, count),
        }
    }

    fn visit_tile<E: KvElement>(
        &self,
        worker: &mut Worker,
        keys: &[E],
        values: &[E],
        visible: Visible,
        count: usize,
    ) {
        let kernels = self.compute.kernels;
        kernels.scores(&worker.queries, keys, &mut worker.scores);
        let (rows, _) = worker.scores.as_chunks_mut::<PAGE>();
        let dim = values.len() / PAGE;
        let results = worker.results.chunks_exact_mut(dim);
        for (row, ((scores, state), results)) in rows
            .iter_mut()
            .zip(&mut worker.states)
            .zip(results)
            .enumerate()
        {
            let seen = visible.range(row / self.group());
            if seen.is_empty() {
                scores.fill(0.0);
                continue;
            }
            self.cap(&mut scores[seen.clone()]);
            scores[..seen.start].fill(f32::NEG_INFINITY);
            scores[seen.end..].fill(f32::NEG_INFINITY);
            kernels.soften(scores, state);
            if state.rescale != 1.0 {
                results.iter_mut().for_each(|x| *x *= state.rescale);
            }
        }
        kernels.values(&worker.scores, values, count, &mut worker.results);
    }

    fn cap(&self, scores: &mut [f32]) {
        if let Some(cap) = self.attention.softcap {
            scores
                .iter_mut()
                .for_each(|score| *score = cap * (*score / cap).tanh());
        }
    }

    fn store(
        &self,
        worker: &Worker,
        span: &AttentionSpan<'_>,
        head: usize,
        tokens: Range<usize>,
        dim: usize,
    ) {
        let (group, head_dim) = (self.group(), self.attention.head_dim);
        let mut scaled = [0.0; 16];
        for (row, (result, state)) in worker
            .results
            .chunks_exact(dim)
            .zip(&worker.states)
            .enumerate()
        {
            let token = span.rows.start + tokens.start + row / group;
            let column = (head * group + row % group) * head_dim;
            let inverse = 1.0 / state.sum;
            for (index, part) in result[..head_dim].chunks(16).enumerate() {
                for (to, x) in scaled.iter_mut().zip(part) {
                    *to = x * inverse;
                }
                // SAFETY: tasks differ in tokens or in heads, so in elements.
                unsafe {
                    self.output
                        .put(token, column + 16 * index, &scaled[..part.len()]);
                };
            }
        }
    }
}

/// Which slots of a page the tokens of a tile see.
#[derive(Clone, Copy)]
struct Visible {
    /// The position of the tile's first token.
    first: usize,
    /// The position of the page's first slot.
    page: usize,
    window: Option<usize>,
}

impl Visible {
    fn range(self, token: usize) -> Range<usize> {
        let position = self.first + token;
        let end = (position + 1).saturating_sub(self.page).min(PAGE);
        let oldest = self
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window));
        let start = oldest.saturating_sub(self.page).min(end);
        start..end
    }
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
