//! A tile whose rows lie along the registers: many rows over pages of bf16, where pairs of them are multiplied.
//!
//! Buffers have the order `[…, width]`, with the tile's rows as columns. Every number is computed as for few rows, in the
//! same order, so that a token gets the same bits in a prompt and alone.

use super::tile::{Part, Tile};
use crate::kv::{KvLayout, PAGE, Plane};
use crate::table::{Ahead, LANES, LaneKernels, LaneStates, LaneWeights, Seen, Softness};
use half::bf16;
use std::ops::Range;

/// Buffers of a worker, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// `[key_dim / 2, width]` pairs.
    queries: Vec<u32>,
    /// `[PAGE, width]`.
    scores: Vec<f32>,
    /// `[PAGE / 2, width]` pairs.
    weights: Vec<u32>,
    rescale: Vec<f32>,
    /// What scores of the page at hand lack: those of what its keys are centered on.
    bases: Vec<f32>,
    /// Of the run at hand.
    run: LanePart,
    /// Of all runs so far.
    total: LanePart,
    /// What sums of earlier and of later runs are multiplied by.
    factors: [Vec<f32>; 2],
    /// What each row sees of a page.
    first: Vec<i32>,
    end: Vec<i32>,
}

/// Softmax states and sums over some of the pages.
#[derive(Debug, Default)]
struct LanePart {
    max: Vec<f32>,
    sum: Vec<f32>,
    /// `[value_dim, width]`.
    sums: Vec<f32>,
}

impl Lanes {
    /// Makes room for `rows` rows.
    pub(super) fn resize(&mut self, rows: usize, layout: &KvLayout) {
        let width = rows.next_multiple_of(LANES);
        self.queries.resize(layout.key_dim() / 2 * width, 0);
        self.scores.resize(PAGE * width, 0.0);
        self.weights.resize(PAGE / 2 * width, 0);
        self.rescale.resize(width, 1.0);
        self.bases.resize(width, 0.0);
        self.factors
            .iter_mut()
            .for_each(|factors| factors.resize(width, 1.0));
        self.first.resize(width, 0);
        self.end.resize(width, 0);
        for part in [&mut self.run, &mut self.total] {
            part.reset(width, layout.value_dim());
        }
    }

    fn width(&self) -> usize {
        self.rescale.len()
    }

    /// Attends from `queries` (`[rows, key_dim]`) to some runs.
    pub(super) fn attend(
        &mut self,
        tile: &Tile<'_>,
        kernels: &LaneKernels,
        queries: &[f32],
        runs: Range<usize>,
    ) {
        let layout = tile.layout();
        self.resize(tile.rows(), &layout);
        let width = self.width();
        kernels.turn_queries(queries, layout.key_dim(), &mut self.queries, width);
        for run in runs {
            self.run.reset(width, layout.value_dim());
            for page in tile.pages_of(run) {
                self.visit_page(tile, kernels, page);
            }
            self.total.merge(&self.run, &mut self.factors);
        }
    }

    fn visit_page(&mut self, tile: &Tile<'_>, kernels: &LaneKernels, page: usize) {
        let (keys, values) = planes(tile, page);
        let next: Ahead<'_> = if page + 1 == tile.pages().end {
            &[]
        } else {
            bytemuck::cast_slice(planes(tile, page + 1).0)
        };
        let ahead = bytemuck::cast_slice(values);
        kernels.bases(&self.queries, tile.center(page), &mut self.bases);
        kernels.scores(&self.queries, keys, &mut self.scores, ahead);
        if let Some(cap) = tile.job.attention.softcap {
            for scores in self.scores.chunks_exact_mut(self.bases.len()) {
                tile.job.kernels.vector.add(scores, &self.bases);
            }
            self.bases.fill(0.0);
            tile.job.kernels.vector.soft_cap(&mut self.scores, cap);
        }
        let is_hidden = !tile.all_see(page);
        if is_hidden {
            self.see(tile, page);
        }
        let seen = Seen {
            first: &self.first,
            end: &self.end,
        };
        let states = LaneStates {
            bases: &self.bases,
            max: &mut self.run.max,
            sum: &mut self.run.sum,
            rescale: &mut self.rescale,
        };
        let seen = is_hidden.then_some(seen);
        kernels.soften(&mut self.scores, &mut self.weights, seen, states);
        let weights = LaneWeights {
            words: &self.weights,
            count: tile.count(page),
            rescale: &self.rescale,
        };
        kernels.values(&weights, values, &mut self.run.sums, next);
    }

    /// Notes which slots of `page` each row sees.
    fn see(&mut self, tile: &Tile<'_>, page: usize) {
        let group = tile.job.group();
        for row in 0..tile.rows() {
            let seen = tile.seen(row / group, page);
            (self.first[row], self.end[row]) = (seen.start as i32, seen.end as i32);
        }
    }

    /// The result of [`Self::attend`] in the order of rows.
    pub(super) fn turn_back(&self, kernels: &LaneKernels, part: &mut Part) {
        let states = self.total.max.iter().zip(&self.total.sum);
        for (state, (max, sum)) in part.states.iter_mut().zip(states) {
            *state = Softness {
                max: *max,
                sum: *sum,
                rescale: 1.0,
            };
        }
        let (width, dim) = (self.width(), part.sums.len() / part.states.len());
        kernels.turn_sums(&self.total.sums, width, &mut part.sums, dim);
    }
}

impl LanePart {
    fn reset(&mut self, width: usize, dim: usize) {
        let buffers = [
            (&mut self.max, width, f32::NEG_INFINITY),
            (&mut self.sum, width, 0.0),
            (&mut self.sums, dim * width, 0.0),
        ];
        for (buffer, size, value) in buffers {
            buffer.clear();
            buffer.resize(size, value);
        }
    }

    /// Adds the part of later pages, as [`Part::merge`] does.
    fn merge(&mut self, later: &Self, factors: &mut [Vec<f32>; 2]) {
        let width = self.max.len();
        let [before, after] = factors;
        for column in 0..width {
            let (state, later) = (&mut self.max[column], later.max[column]);
            let factors = if later == f32::NEG_INFINITY {
                (1.0, 0.0)
            } else {
                let max = state.max(later);
                let factors = ((*state - max).exp(), (later - max).exp());
                *state = max;
                factors
            };
            (before[column], after[column]) = factors;
        }
        let rows = self.sums.chunks_exact_mut(width).chain([&mut *self.sum]);
        let later = later.sums.chunks_exact(width).chain([&*later.sum]);
        for (sums, later) in rows.zip(later) {
            let factors = before.iter().zip(&*after);
            for ((sum, later), (before, after)) in sums.iter_mut().zip(later).zip(factors) {
                *sum = *sum * before + later * after;
            }
        }
    }
}

/// The planes of the tile's head.
fn planes<'a>(tile: &Tile<'a>, page: usize) -> (&'a [bf16], &'a [bf16]) {
    let (page, layer) = (&tile.span.pages[page], tile.job.attention.layer);
    match (page.keys(layer, tile.head), page.values(layer, tile.head)) {
        (Plane::Bf16(keys), Plane::Bf16(values)) => (keys, values),
        _ => unreachable!("pages of bf16"),
    }
}
