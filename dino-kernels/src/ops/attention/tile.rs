//! One tile: some tokens of one span, and the query heads of one key/value head.

use super::lanes::Lanes;
use super::{Attention, AttentionSpan};
use crate::Kernels;
use crate::kv::{KvLayout, KvType, PAGE, Plane, rotate};
use crate::output::Output;
use crate::table::{Ahead, LaneKernels, Softness};
use half::bf16;
use std::ops::Range;

/// Rows of a tile, unless a group has more heads; a multiple of what kernels take at once.
const ROWS: usize = 48;
/// Pages of a run.
const RUN: usize = 8;
/// Rows from which on it pays to widen a page once for all of them.
const ROWS_TO_WIDEN: usize = 8;
/// Rows from which on they lie along the registers, where there are kernels for it.
const ROWS_FOR_LANES: usize = 12;

/// What all tiles of one call share.
pub(super) struct Job<'a> {
    pub(super) kernels: &'static Kernels,
    pub(super) attention: &'a Attention<'a>,
    pub(super) queries: &'a [f32],
    pub(super) output: &'a Output<'a>,
}

impl Job<'_> {
    /// Query heads that share a key/value head.
    pub(super) fn group(&self) -> usize {
        self.attention.heads / self.attention.kv_heads
    }

    pub(super) fn tokens_a_tile(&self) -> usize {
        (ROWS / self.group()).max(1)
    }

    /// The first page that a token at `position` sees.
    fn first_page(&self, position: usize) -> usize {
        let window = self.attention.window;
        window.map_or(0, |window| (position + 1).saturating_sub(window) / PAGE)
    }
}

/// Rows `[tokens × group]` of one key/value head.
pub(super) struct Tile<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) span: &'a AttentionSpan<'a>,
    pub(super) head: usize,
    /// Tokens of the span.
    pub(super) tokens: Range<usize>,
}

/// Softmax states and sums of a tile's rows, over some of the pages.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) states: Vec<Softness>,
    /// `[rows, value_dim]`.
    pub(super) sums: Vec<f32>,
}

/// Buffers of one worker, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Worker {
    /// `[rows, key_dim]`.
    queries: Vec<f32>,
    /// `[rows, PAGE]`.
    scores: Vec<f32>,
    /// What scores of the page at hand lack: those of what its keys are centered on. `[rows]`.
    bases: Vec<f32>,
    /// That center, `[key_dim]`.
    center: Vec<f32>,
    /// Of the run at hand.
    run: Part,
    /// Of all runs so far.
    total: Part,
    /// A page, widened.
    keys: Vec<f32>,
    values: Vec<f32>,
    lanes: Lanes,
}

impl Worker {
    /// Makes room for a tile and smaller ones, so that no task has to.
    pub(super) fn reserve(&mut self, tile: &Tile<'_>) {
        let (rows, layout) = (tile.rows(), tile.layout());
        if tile.lane_kernels().is_some() {
            self.lanes.resize(rows, &layout);
        }
        let (key_dim, value_dim) = (layout.key_dim(), layout.value_dim());
        let wide = if rows < ROWS_TO_WIDEN { 0 } else { PAGE };
        let sizes = [
            (&mut self.queries, rows * key_dim),
            (&mut self.scores, rows * PAGE),
            (&mut self.bases, rows),
            (&mut self.center, key_dim),
            (&mut self.run.sums, rows * value_dim),
            (&mut self.total.sums, rows * value_dim),
            (&mut self.keys, wide * key_dim),
            (&mut self.values, wide * value_dim),
        ];
        for (buffer, size) in sizes {
            buffer.reserve(size.saturating_sub(buffer.len()));
        }
        for part in [&mut self.run, &mut self.total] {
            part.states.reserve(rows.saturating_sub(part.states.len()));
        }
    }
}

impl Tile<'_> {
    pub(super) fn rows(&self) -> usize {
        self.tokens.len() * self.job.group()
    }

    pub(super) fn layout(&self) -> KvLayout {
        self.span.pages[0].layout()
    }

    /// Features of a row of sums, padded as stored values are.
    fn dim(&self) -> usize {
        self.layout().value_dim()
    }

    pub(super) fn pages(&self) -> Range<usize> {
        let first = self.job.first_page(self.span.start + self.tokens.start);
        first..(self.span.start + self.tokens.end).div_ceil(PAGE)
    }

    /// The runs that hold those pages; they begin at multiples of [`RUN`] pages, whatever the tile.
    pub(super) fn runs(&self) -> Range<usize> {
        let pages = self.pages();
        pages.start / RUN..pages.end.div_ceil(RUN)
    }

    /// Attends to all runs and stores the result.
    pub(super) fn attend(&self, worker: &mut Worker) {
        self.load_queries(worker);
        worker.total.reset(self.rows(), self.dim());
        if let Some(kernels) = self.lane_kernels() {
            let Worker {
                lanes,
                queries,
                total,
                ..
            } = worker;
            lanes.attend(self, kernels, queries, self.runs());
            lanes.turn_back(kernels, total);
        } else {
            for run in self.runs() {
                self.visit_run(worker, run);
                worker.total.merge(&worker.run);
            }
        }
        self.store(&mut worker.total);
    }

    /// Attends to one run and leaves the result in `partial`.
    pub(super) fn attend_run(&self, worker: &mut Worker, run: usize, partial: &mut [f32]) {
        self.load_queries(worker);
        if let Some(kernels) = self.lane_kernels() {
            let Worker {
                lanes,
                queries,
                run: part,
                ..
            } = worker;
            part.reset(self.rows(), self.dim());
            lanes.attend(self, kernels, queries, run..run + 1);
            lanes.turn_back(kernels, part);
        } else {
            self.visit_run(worker, run);
        }
        worker.run.save(partial);
    }

    /// Joins the partial results of all runs, in their order, and stores the result.
    pub(super) fn join(&self, worker: &mut Worker, partials: &[f32]) {
        worker.total.reset(self.rows(), self.dim());
        worker.run.reset(self.rows(), self.dim());
        for partial in partials.chunks_exact(Part::size(self)) {
            worker.run.load(partial);
            worker.total.merge(&worker.run);
        }
        self.store(&mut worker.total);
    }

    /// Gathers the scaled queries, `[rows, key_dim]`, rotated as the keys are.
    fn load_queries(&self, worker: &mut Worker) {
        let Attention {
            heads,
            head_dim,
            scale,
            ..
        } = *self.job.attention;
        let (group, layout) = (self.job.group(), self.layout());
        let dim = layout.key_dim();
        worker.queries.clear();
        worker.queries.resize(self.rows() * dim, 0.0);
        for (row, to) in worker.queries.chunks_exact_mut(dim).enumerate() {
            let token = self.span.rows.start + self.tokens.start + row / group;
            let from = (token * heads + self.head * group + row % group) * head_dim;
            let to = &mut to[..head_dim];
            for (to, x) in to.iter_mut().zip(&self.job.queries[from..from + head_dim]) {
                *to = x * scale;
            }
            if layout.types.keys.is_rotated() {
                rotate(to);
            }
        }
    }

    fn visit_run(&self, worker: &mut Worker, run: usize) {
        worker.run.reset(self.rows(), self.dim());
        worker.scores.resize(self.rows() * PAGE, 0.0);
        for page in self.pages_of(run) {
            self.visit_page(worker, page);
        }
    }

    pub(super) fn pages_of(&self, run: usize) -> Range<usize> {
        let pages = self.pages();
        pages.start.max(run * RUN)..pages.end.min((run + 1) * RUN)
    }

    fn visit_page(&self, worker: &mut Worker, page: usize) {
        let (kernels, layer) = (self.job.kernels, self.job.attention.layer);
        let planes = |page: usize| {
            let page = &self.span.pages[page];
            (page.keys(layer, self.head), page.values(layer, self.head))
        };
        let (keys, values) = planes(page);
        let is_last = page + 1 == self.pages().end;
        let next: Ahead<'_> = if is_last {
            &[]
        } else {
            planes(page + 1).0.bytes()
        };
        let keys = if self.pays_to_widen(keys) {
            worker.keys.resize(keys.dim() * PAGE, 0.0);
            kernels.widen_keys(keys, &mut worker.keys);
            Plane::F32(&worker.keys)
        } else {
            keys
        };
        kernels.scores(&worker.queries, keys, &mut worker.scores, values.bytes());
        self.find_bases(worker, page);
        self.soften(worker, page);
        let values = if self.pays_to_widen(values) {
            worker.values.resize(values.dim() * PAGE, 0.0);
            kernels.widen_values(values, &mut worker.values);
            Plane::F32(&worker.values)
        } else {
            values
        };
        let (count, sums) = (self.count(page), &mut worker.run.sums);
        kernels.values(&worker.scores, values, count, sums, next);
    }

    /// How many slots of `page` the tile's last token sees, those before a window among them.
    pub(super) fn count(&self, page: usize) -> usize {
        (self.span.start + self.tokens.end - page * PAGE).min(PAGE)
    }

    /// The kernels for many rows, if there are many, and the pages are of a type that has such.
    fn lane_kernels(&self) -> Option<&'static LaneKernels> {
        let types = self.layout().types;
        let pairs = self.job.kernels.pairs().map(|pairs| &pairs.lanes);
        pairs.filter(|_| types == KvType::Bf16.into() && self.rows() >= ROWS_FOR_LANES)
    }

    fn pays_to_widen(&self, plane: Plane<'_>) -> bool {
        match plane {
            Plane::F32(_) => false,
            Plane::Bf16(_) if self.job.kernels.pairs().is_some() => false,
            _ => self.rows() >= ROWS_TO_WIDEN,
        }
    }

    /// What keys of the page are centered on; empty if they are not.
    pub(super) fn center(&self, page: usize) -> &[bf16] {
        let center = self.span.pages[page].center(self.job.attention.layer, self.head);
        center.unwrap_or_default()
    }

    fn find_bases(&self, worker: &mut Worker, page: usize) {
        let (kernels, center) = (self.job.kernels, self.center(page));
        let Worker {
            queries,
            bases,
            center: wide,
            ..
        } = worker;
        bases.resize(self.rows(), 0.0);
        match kernels.pairs() {
            _ if center.is_empty() => bases.fill(0.0),
            Some(pairs) if self.layout().types.keys == KvType::Bf16 => {
                pairs.bases(queries, center, bases);
            }
            _ => {
                wide.resize(center.len(), 0.0);
                kernels.vector.widen_bf16(center, wide);
                let rows = queries.chunks_exact(center.len());
                for (base, query) in bases.iter_mut().zip(rows) {
                    *base = kernels.vector.dot(query, wide);
                }
            }
        }
    }

    /// Turns scores into weights; sums of earlier pages are scaled to the new maximum.
    fn soften(&self, worker: &mut Worker, page: usize) {
        let Job {
            kernels, attention, ..
        } = self.job;
        let group = self.job.group();
        let dim = self.dim();
        let (states, bases) = (&mut worker.run.states, &mut worker.bases);
        let rounded = self.layout().types.values == KvType::Bf16;
        let pairs = kernels.pairs().filter(|_| rounded);
        let soften = |scores: &mut [f32], bases: &[f32], states: &mut [Softness]| match pairs {
            Some(pairs) => pairs.soften(scores, bases, states),
            None => kernels.soften(scores, bases, states),
        };
        if attention.softcap.is_none() && self.all_see(page) {
            soften(&mut worker.scores, bases, states);
        } else {
            let rows = worker.scores.chunks_exact_mut(PAGE).zip(bases);
            for (row, ((scores, base), state)) in rows.zip(&mut *states).enumerate() {
                let seen = self.seen(row / group, page);
                if seen.is_empty() {
                    scores.fill(0.0);
                    state.rescale = 1.0;
                    continue;
                }
                if let Some(cap) = attention.softcap {
                    let scores = &mut scores[seen.clone()];
                    scores.iter_mut().for_each(|score| *score += *base);
                    *base = 0.0;
                    kernels.vector.soft_cap(scores, cap);
                }
                scores[..seen.start].fill(f32::NEG_INFINITY);
                scores[seen.end..].fill(f32::NEG_INFINITY);
                soften(
                    scores,
                    std::slice::from_ref(base),
                    std::slice::from_mut(state),
                );
            }
        }
        for (state, sums) in states.iter().zip(worker.run.sums.chunks_exact_mut(dim)) {
            if state.rescale != 1.0 {
                kernels.vector.scale(sums, state.rescale);
            }
        }
    }

    /// Whether all tokens see the whole of `page`: the first one reaches its end, and the last one its start.
    pub(super) fn all_see(&self, page: usize) -> bool {
        let last = self.tokens.len() - 1;
        self.seen(0, page).end == PAGE && self.seen(last, page) == (0..PAGE)
    }

    /// Which slots of `page` the tile's token `token` sees.
    pub(super) fn seen(&self, token: usize, page: usize) -> Range<usize> {
        let (position, page) = (self.span.start + self.tokens.start + token, page * PAGE);
        let end = (position + 1).saturating_sub(page).min(PAGE);
        let window = self.job.attention.window;
        let oldest = window.map_or(0, |window| (position + 1).saturating_sub(window));
        oldest.saturating_sub(page).min(end)..end
    }

    fn store(&self, total: &mut Part) {
        let (group, head_dim) = (self.job.group(), self.job.attention.head_dim);
        let rotated = self.layout().types.values.is_rotated();
        let rows = total.sums.chunks_exact_mut(self.dim()).zip(&total.states);
        for (row, (sums, state)) in rows.enumerate() {
            let token = self.span.rows.start + self.tokens.start + row / group;
            let head = self.head * group + row % group;
            let (column, sums) = (head * head_dim, &mut sums[..head_dim]);
            let sink = self.job.attention.sinks.map(|sinks| sinks[head]);
            let inverse = 1.0 / (state.sum + sink.map_or(0.0, |sink| (sink - state.max).exp()));
            sums.iter_mut().for_each(|sum| *sum *= inverse);
            if rotated {
                rotate(sums);
            }
            // SAFETY: tiles differ in tokens or in heads, so in elements.
            unsafe { self.job.output.put(token, column, sums) };
        }
    }
}

impl Part {
    /// Values of a tile's saved part.
    pub(super) fn size(tile: &Tile<'_>) -> usize {
        tile.rows() * (tile.dim() + 2)
    }

    fn reset(&mut self, rows: usize, dim: usize) {
        self.states.clear();
        self.states.resize(rows, Softness::EMPTY);
        self.sums.clear();
        self.sums.resize(rows * dim, 0.0);
    }

    /// Adds the part of later pages.
    fn merge(&mut self, later: &Self) {
        let dim = self.sums.len() / self.states.len();
        let rows = self.states.iter_mut().zip(self.sums.chunks_exact_mut(dim));
        let later = later.states.iter().zip(later.sums.chunks_exact(dim));
        for ((state, sums), (later, later_sums)) in rows.zip(later) {
            if later.max == f32::NEG_INFINITY {
                continue;
            }
            let max = state.max.max(later.max);
            let (before, after) = ((state.max - max).exp(), (later.max - max).exp());
            state.max = max;
            state.sum = state.sum * before + later.sum * after;
            for (sum, later) in sums.iter_mut().zip(later_sums) {
                *sum = *sum * before + later * after;
            }
        }
    }

    fn save(&self, to: &mut [f32]) {
        let (states, sums) = to.split_at_mut(2 * self.states.len());
        for (to, state) in states.chunks_exact_mut(2).zip(&self.states) {
            to.copy_from_slice(&[state.max, state.sum]);
        }
        sums.copy_from_slice(&self.sums);
    }

    fn load(&mut self, from: &[f32]) {
        let (states, sums) = from.split_at(2 * self.states.len());
        for (state, from) in self.states.iter_mut().zip(states.chunks_exact(2)) {
            (state.max, state.sum) = (from[0], from[1]);
        }
        self.sums.copy_from_slice(sums);
    }
}
