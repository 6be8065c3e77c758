//! Attention over the paged cache, for one token and for many.
//!
//! All query heads of a group, and several tokens, are rows of one tile product with the keys that they share:
//! a key is read once for all of them. The softmax runs along the pages (Dao et al., FlashAttention-2,
//! arXiv:2307.08691), so that no row of scores is ever longer than a page.
//!
//! Pages are joined to *runs*, and runs to the result. Where a single tile of tokens looks back over a long past, its
//! runs are tasks of their own, so that all threads share one head's work; the sums are joined in the same order either
//! way, and a token gets the same bits alone and in the middle of a prompt.

mod lanes;
mod tile;

use crate::kv::{KvPage, KvTileMut, KvTypes, PAGE, rotate};
use crate::output::Output;
use crate::{Compute, DisjointMut};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use tile::{Job, Part, Tile, Worker};

/// What attention computes in one layer.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
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
    /// `[heads]`: a score of each head that takes its part of the softmax and brings nothing, where a model learned to look
    /// away (OpenAI, gpt-oss model card, arXiv:2508.10925).
    pub sinks: Option<&'a [f32]>,
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

/// Memory that [`attend`] works in, kept between calls.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    partials: Vec<f32>,
    /// One a thread.
    workers: Vec<Worker>,
    /// Empty; only its memory is kept.
    spans: Vec<AttentionSpan<'static>>,
}

impl AttentionScratch {
    /// An empty list of spans, in memory that an earlier one had.
    pub fn take_spans<'a>(&mut self) -> Vec<AttentionSpan<'a>> {
        with_other_lifetime(std::mem::take(&mut self.spans))
    }

    /// Keeps the memory of a list of spans for the next one.
    pub fn keep_spans(&mut self, spans: Vec<AttentionSpan<'_>>) {
        self.spans = with_other_lifetime(spans);
    }
}

/// An empty list in the same memory: collecting from a `Vec` into one of an equal layout allocates nothing.
fn with_other_lifetime<'b>(mut spans: Vec<AttentionSpan<'_>>) -> Vec<AttentionSpan<'b>> {
    spans.clear();
    let none = spans.into_iter().map(|_| unreachable!("the list is empty"));
    none.collect()
}

/// Stores the keys and values (`[tokens, kv_heads * head_dim]`) of new tokens from position `start` on.
///
/// # Panics
/// If a page is missing or shared, or shapes do not fit.
pub fn append(
    compute: &Compute,
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
    let written = start / PAGE..end.div_ceil(PAGE);
    let pages = &mut pages[written.clone()];
    compute.pool.for_each_part(pages, 1, |index, page| {
        let page = Arc::get_mut(&mut page[0]).expect("a page that is written is not shared");
        let first_of_page = (written.start + index) * PAGE;
        let positions = first_of_page.max(start)..(first_of_page + PAGE).min(end);
        for (head, mut tile) in page.tiles_mut(layer).enumerate() {
            for position in positions.clone() {
                let from = (position - start) * width + head * layout.head_dim;
                let range = from..from + layout.head_dim;
                write(
                    &mut tile,
                    position % PAGE,
                    &keys[range.clone()],
                    &values[range],
                    layout.types,
                );
            }
        }
    });
}

/// Stores a key and a value, each rotated first if its type asks for it.
fn write(tile: &mut KvTileMut<'_>, slot: usize, key: &[f32], value: &[f32], types: KvTypes) {
    thread_local! {
        static ROTATED: RefCell<[Vec<f32>; 2]> = RefCell::default();
    }
    if !types.keys.is_rotated() && !types.values.is_rotated() {
        return tile.write(slot, key, value);
    }
    ROTATED.with_borrow_mut(|[rotated_key, rotated_value]| {
        let pairs = [
            (types.keys, key, rotated_key),
            (types.values, value, rotated_value),
        ];
        let [key, value] = pairs.map(|(dtype, from, to)| {
            to.clear();
            to.extend_from_slice(from);
            if dtype.is_rotated() {
                rotate(to);
            }
            &*to
        });
        tile.write(slot, key, value);
    });
}

/// Attends from `queries` (`[tokens, heads * head_dim]`) to each span's own past, into `output` (same shape).
///
/// # Panics
/// If shapes do not fit.
pub fn attend(
    compute: &Compute,
    attention: &Attention<'_>,
    spans: &[AttentionSpan<'_>],
    queries: ArrayView2<'_, f32>,
    output: ArrayViewMut2<'_, f32>,
    scratch: &mut AttentionScratch,
) {
    assert_eq!(queries.dim(), output.dim(), "a result for each query");
    let Attention {
        heads,
        kv_heads,
        head_dim,
        ..
    } = *attention;
    assert_eq!(queries.ncols(), heads * head_dim, "queries of every head");
    assert!(heads.is_multiple_of(kv_heads), "heads in groups");
    let sinks = attention.sinks.map_or(heads, <[f32]>::len);
    assert_eq!(sinks, heads, "a sink for each head");
    let queries = queries.to_slice().expect("queries in standard layout");
    let output = Output::new(output, None, false);
    let job = Job {
        kernels: compute.kernels,
        attention,
        queries,
        output: &output,
    };
    let plans: Plans<'_> = Plans { job: &job, spans };
    let AttentionScratch {
        partials, workers, ..
    } = scratch;
    partials.resize(plans.partials(), 0.0);
    workers.resize_with(compute.pool.threads(), Worker::default);
    for worker in &mut *workers {
        plans.reserve(worker);
    }
    let (partial_results, buffers) = (DisjointMut::new(partials), DisjointMut::new(workers));
    compute.pool.run_with(plans.tasks(), |worker, task| {
        let (tile, run, partial) = plans.task(task);
        // SAFETY: no two threads inside this call are the same worker.
        let worker = &mut unsafe { buffers.part(worker..worker + 1) }[0];
        match run {
            None => tile.attend(worker),
            Some(run) => {
                // SAFETY: each task has a partial of its own.
                let partial = unsafe { partial_results.part(partial) };
                tile.attend_run(worker, run, partial);
            }
        }
    });
    for (tile, range) in plans.joins() {
        tile.join(&mut workers[0], &partials[range]);
    }
}

/// How spans are cut into tasks: by tiles of tokens and heads, and by runs where a span is a single tile.
struct Plans<'a> {
    job: &'a Job<'a>,
    spans: &'a [AttentionSpan<'a>],
}

impl<'a> Plans<'a> {
    fn tiles(&self, span: &AttentionSpan<'_>) -> usize {
        span.rows.len().div_ceil(self.job.tokens_a_tile())
    }

    fn tile(&self, span: &'a AttentionSpan<'a>, head: usize, tile: usize) -> Tile<'a> {
        let first = tile * self.job.tokens_a_tile();
        let tokens = first..(first + self.job.tokens_a_tile()).min(span.rows.len());
        Tile {
            job: self.job,
            span,
            head,
            tokens,
        }
    }

    /// Makes room in `worker` for the largest tile.
    fn reserve(&self, worker: &mut Worker) {
        let tiles = self.spans.iter().filter(|span| !span.rows.is_empty());
        let first = tiles.map(|span| self.tile(span, 0, 0));
        if let Some(largest) = first.max_by_key(Tile::rows) {
            worker.reserve(&largest);
        }
    }

    /// Runs that are tasks of their own; 1 where a tile is one task.
    fn runs(&self, span: &'a AttentionSpan<'a>) -> usize {
        if self.tiles(span) == 1 {
            self.tile(span, 0, 0).runs().len()
        } else {
            1
        }
    }

    fn tasks_of(&self, span: &'a AttentionSpan<'a>) -> usize {
        self.job.attention.kv_heads * self.tiles(span) * self.runs(span)
    }

    fn tasks(&self) -> usize {
        self.spans.iter().map(|span| self.tasks_of(span)).sum()
    }

    /// Values of a span's partial results, all heads and runs together.
    fn partials_of(&self, span: &'a AttentionSpan<'a>) -> usize {
        match self.runs(span) {
            1 => 0,
            _ => self.tasks_of(span) * Part::size(&self.tile(span, 0, 0)),
        }
    }

    fn partials(&self) -> usize {
        self.spans.iter().map(|span| self.partials_of(span)).sum()
    }

    /// Tile, run and place for the partial result of task `task`; no run where the tile is one task.
    fn task(&self, mut task: usize) -> (Tile<'a>, Option<usize>, Range<usize>) {
        let kv_heads = self.job.attention.kv_heads;
        let mut start = 0;
        for span in self.spans {
            let runs = self.runs(span);
            if task >= self.tasks_of(span) {
                task -= self.tasks_of(span);
                start += self.partials_of(span);
                continue;
            }
            if runs == 1 {
                return (
                    self.tile(span, task % kv_heads, task / kv_heads),
                    None,
                    0..0,
                );
            }
            let tile = self.tile(span, task / runs, 0);
            let size = Part::size(&tile);
            let run = tile.runs().start + task % runs;
            return (
                tile,
                Some(run),
                start + task * size..start + (task + 1) * size,
            );
        }
        unreachable!("task {task} beyond the last")
    }

    /// The tiles whose runs were tasks of their own, with the places of their partial results.
    fn joins(&self) -> impl Iterator<Item = (Tile<'a>, Range<usize>)> {
        let mut start = 0;
        self.spans.iter().flat_map(move |span| {
            let (first, total) = (start, self.partials_of(span));
            start += total;
            let kv_heads = if total == 0 {
                0
            } else {
                self.job.attention.kv_heads
            };
            (0..kv_heads).map(move |head| {
                let size = total / kv_heads;
                (
                    self.tile(span, head, 0),
                    first + head * size..first + (head + 1) * size,
                )
            })
        })
    }
}

#[cfg(test)]
mod tests;
