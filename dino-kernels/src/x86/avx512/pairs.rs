//! Products of pairs of bf16, two products and two sums an instruction and lane (AVX-512 BF16).
//!
//! A word is a pair, the first in its low half. One side of a product is read a word at a time for all lanes, the other
//! runs along the registers; six rows by four registers, or eight by three, keep 24 sums in registers. Each sum runs over
//! the pairs in their order, whatever the tile, and whichever of the two factors is the one that lanes share.

use super::attention::fetch;
use crate::table::Ahead;
use std::arch::x86_64::*;

/// A product `[rows, pairs] · [pairs, width]`.
pub(super) struct Product<'a> {
    /// Word `[row, pair]` is `left[row * row_step + pair * pair_step]`.
    pub(super) left: &'a [u32],
    pub(super) row_step: usize,
    pub(super) pair_step: usize,
    /// `[pairs, width]`.
    pub(super) right: &'a [u32],
    pub(super) width: usize,
    pub(super) pairs: usize,
    /// Fetched on the way.
    pub(super) ahead: Ahead<'a>,
}

/// What sums begin with.
pub(super) trait Start: Copy {
    /// What the sums of 16 columns from `column` on begin with; `held` is what the output holds there.
    ///
    /// # Safety
    /// AVX-512 is enabled; `held` has 16 values, and so have the columns.
    unsafe fn start(self, held: *const f32, column: usize) -> __m512;
}

/// Nothing.
#[derive(Clone, Copy)]
pub(super) struct Fresh;

impl Start for Fresh {
    #[inline(always)]
    unsafe fn start(self, _: *const f32, _: usize) -> __m512 {
        // SAFETY: by the contract.
        unsafe { _mm512_setzero_ps() }
    }
}

/// What is there.
#[derive(Clone, Copy)]
pub(super) struct Onto;

impl Start for Onto {
    #[inline(always)]
    unsafe fn start(self, held: *const f32, _: usize) -> __m512 {
        // SAFETY: by the contract.
        unsafe { _mm512_loadu_ps(held) }
    }
}

/// What is there, times a factor for each column.
#[derive(Clone, Copy)]
pub(super) struct Rescaled<'a>(pub(super) &'a [f32]);

impl Start for Rescaled<'_> {
    #[inline(always)]
    unsafe fn start(self, held: *const f32, column: usize) -> __m512 {
        // SAFETY: by the contract.
        unsafe {
            let factors = _mm512_loadu_ps(self.0.as_ptr().add(column));
            _mm512_mul_ps(_mm512_loadu_ps(held), factors)
        }
    }
}

/// `output = start + left · right`, with `output` `[rows, width]`.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
pub(super) fn multiply<S: Start>(product: &Product<'_>, start: S, output: &mut [f32]) {
    let (width, pairs) = (product.width, product.pairs);
    let rows = output.len() / width;
    let last =
        rows.saturating_sub(1) * product.row_step + pairs.saturating_sub(1) * product.pair_step;
    assert!(last < product.left.len(), "rows of the left side");
    assert!(
        product.right.len() >= pairs * width && width.is_multiple_of(16),
        "rows of the right side"
    );
    let mut column = 0;
    while column < width {
        // SAFETY: AVX-512 BF16 is enabled; rows, pairs and columns are there by the assertions above.
        unsafe {
            column += match (width - column) / 16 {
                4.. => multiply_columns::<S, 4>(product, start, column, output),
                3 => multiply_columns::<S, 3>(product, start, column, output),
                2 => multiply_columns::<S, 2>(product, start, column, output),
                _ => multiply_columns::<S, 1>(product, start, column, output),
            };
        }
    }
}

/// `C` registers of columns of all rows; returns the columns.
///
/// # Safety
/// AVX-512 BF16 is enabled; `16 * C` columns from `column` on are inside of the width, the left side has the rows of the
/// output, and the right side the pairs.
#[inline(always)]
unsafe fn multiply_columns<S: Start, const C: usize>(
    product: &Product<'_>,
    start: S,
    column: usize,
    output: &mut [f32],
) -> usize {
    let rows = output.len() / product.width;
    let mut row = 0;
    while row < rows {
        let tile = Tile {
            product,
            start,
            row,
            column,
            rows,
        };
        // SAFETY: by the contract; each tile has at most the rows that are left.
        unsafe {
            row += match rows - row {
                8.. if C < 4 => tile.multiply::<8, C>(output),
                6.. if C == 4 => tile.multiply::<6, C>(output),
                4.. => tile.multiply::<4, C>(output),
                3 => tile.multiply::<3, C>(output),
                2 => tile.multiply::<2, C>(output),
                _ => tile.multiply::<1, C>(output),
            };
        }
    }
    16 * C
}

/// Some rows and columns of a product.
struct Tile<'a, S> {
    product: &'a Product<'a>,
    start: S,
    row: usize,
    column: usize,
    /// Rows of the whole product.
    rows: usize,
}

impl<S: Start> Tile<'_, S> {
    /// `R` rows by `C` registers; returns the rows.
    ///
    /// # Safety
    /// AVX-512 BF16 is enabled; the product has these rows, columns and pairs, and the output is the product's.
    #[inline(always)]
    unsafe fn multiply<const R: usize, const C: usize>(&self, output: &mut [f32]) -> usize {
        let Product {
            row_step,
            pair_step,
            width,
            pairs,
            ..
        } = *self.product;
        let ahead = self.ahead::<R>();
        // SAFETY: by the contract.
        unsafe {
            let left = self.product.left.as_ptr().add(self.row * row_step);
            let right = self.product.right.as_ptr().add(self.column);
            let output = output.as_mut_ptr().add(self.row * width + self.column);
            let mut sums = [[_mm512_setzero_ps(); C]; R];
            for (r, sums) in sums.iter_mut().enumerate() {
                for (c, sum) in sums.iter_mut().enumerate() {
                    *sum = self
                        .start
                        .start(output.add(r * width + 16 * c), self.column + 16 * c);
                }
            }
            for pair in 0..pairs {
                fetch(ahead, pairs, pair);
                let mut columns = [_mm512_setzero_si512(); C];
                for (c, to) in columns.iter_mut().enumerate() {
                    *to = _mm512_loadu_si512(right.add(pair * width + 16 * c).cast());
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let word = *left.add(r * row_step + pair * pair_step);
                    let word = as_bf16(_mm512_set1_epi32(word as i32));
                    for (sum, columns) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_dpbf16_ps(*sum, word, as_bf16(columns));
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    _mm512_storeu_ps(output.add(r * width + 16 * c), *sum);
                }
            }
        }
        R
    }

    /// The part of what lies ahead that these rows fetch: the first columns share it among the rows.
    #[inline(always)]
    fn ahead<const R: usize>(&self) -> Ahead<'_> {
        let ahead = self.product.ahead;
        if self.column > 0 || ahead.is_empty() {
            return &[];
        }
        let part = ahead.len().div_ceil(self.rows).next_multiple_of(64);
        let at = |row: usize| (row * part).min(ahead.len());
        &ahead[at(self.row)..at(self.row + R)]
    }
}

#[inline(always)]
pub(super) fn as_bf16(words: __m512i) -> __m512bh {
    // SAFETY: the same 512 bits.
    unsafe { std::mem::transmute(words) }
}

/// Rounds two registers: the words of `low` and then those of `high`.
#[inline]
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
pub(super) fn round(low: __m512, high: __m512) -> __m512i {
    // SAFETY: the same 512 bits.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(high, low)) }
}

/// Sixteen rows of words turned to sixteen columns.
#[inline]
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
pub(super) fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    // Pairs of rows, then of pairs, then quarters of registers twice.
    let mut twos = rows;
    for i in 0..8 {
        twos[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        twos[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    let mut fours = rows;
    for i in 0..4 {
        for j in 0..2 {
            let (low, high) = (twos[4 * i + j], twos[4 * i + 2 + j]);
            fours[4 * i + 2 * j] = _mm512_unpacklo_epi64(low, high);
            fours[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(low, high);
        }
    }
    // Quarter q of fours[4 i + j] is now column 4 q + j of rows 4 i to 4 i + 3.
    let mut columns = rows;
    for j in 0..4 {
        let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let even_ab = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        let odd_ab = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
        let even_cd = _mm512_shuffle_i32x4::<0b10_00_10_00>(c, d);
        let odd_cd = _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d);
        columns[j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(even_ab, even_cd);
        columns[4 + j] = _mm512_shuffle_i32x4::<0b10_00_10_00>(odd_ab, odd_cd);
        columns[8 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(even_ab, even_cd);
        columns[12 + j] = _mm512_shuffle_i32x4::<0b11_01_11_01>(odd_ab, odd_cd);
    }
    columns
}
