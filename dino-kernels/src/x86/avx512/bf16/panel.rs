//! Groups of any type, unpacked to bf16.
//!
//! A panel is `[chunks, groups, PAIRS]` registers: of 32 columns of a group, 16 pairs, each of 16 rows. That is a register of
//! `vdpbf16ps` after the other, and at the same time one right-hand tile of AMX after the other. Columns past the last one
//! are zeros.

use crate::bf16::TILE_COLUMNS;
use crate::packed::{Codes, FloatGroup, PackedWeight, QuantizedGroup, with_format};
use crate::x86::ahead::{ask_ahead, ask_for};
use crate::x86::avx512::linear::LANES;
use half::{bf16, f16};
use std::arch::x86_64::*;
use std::cell::RefCell;

/// Pairs of columns in a chunk.
pub(crate) const PAIRS: usize = TILE_COLUMNS / 2;

thread_local! {
    /// Kept from task to task.
    pub(crate) static PANEL: RefCell<Vec<__m512i>> = const { RefCell::new(Vec::new()) };
}

/// Unpacks `G` groups of `weight` from `index` on.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
pub(crate) fn fill<const G: usize>(weight: &PackedWeight, index: usize, panel: &mut Vec<__m512i>) {
    let chunks = weight.columns().div_ceil(TILE_COLUMNS);
    panel.resize(chunks * G * PAIRS, _mm512_setzero_si512());
    let (places, _) = panel.as_chunks_mut::<PAIRS>();
    for g in 0..G {
        let whole = weight.is_sparse().then(|| weight.filled_in(index + g));
        let weight = whole.as_ref().unwrap_or(weight);
        let places = places.iter_mut().skip(g).step_by(G);
        with_format!(weight.dtype(), F => quantized::<F>(weight.quantized_group(index + g), places), _ => {
            match weight.float_group(index + g) {
                FloatGroup::F32(values) => float(values, places),
                FloatGroup::F16(values) => float(values, places),
                FloatGroup::Bf16(values) => float(values, places),
            }
        });
    }
}

/// Unpacks a quantized group to `places`, one for each chunk.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn quantized<'a, F: Codes>(
    group: QuantizedGroup<'_>,
    mut places: impl Iterator<Item = &'a mut [__m512i; PAIRS]>,
) {
    let words = group.words.chunks_exact(F::WORDS * 4 * LANES);
    let heads = group.heads.chunks_exact(F::HEAD * LANES);
    for (words, head) in words.zip(heads).take(group.columns / F::LEN) {
        for (sub, place) in (0..F::SUBS).zip(&mut places) {
            ask_ahead::<F>(words.as_ptr(), head.as_ptr(), sub, LANES);
            // SAFETY: AVX-512 BF16 is enabled; the slices hold one block of 16 rows.
            unsafe {
                let codes = F::codes::<__m512i>(words.as_ptr(), sub);
                let scales = F::scales::<__m512i>(head.as_ptr(), sub);
                let mins = F::mins::<__m512i>(head.as_ptr(), sub);
                for word in 0..8 {
                    let factors = (scales[word / 4], mins[word / 4]);
                    for half in 0..2 {
                        let even = value::<F>(codes[word], 2 * half, factors);
                        let odd = value::<F>(codes[word], 2 * half + 1, factors);
                        place[2 * word + half] = pair(even, odd);
                    }
                }
            }
        }
    }
}

/// What byte `byte` of codes means.
///
/// # Safety
/// AVX-512 is enabled.
#[inline(always)]
unsafe fn value<F: Codes>(codes: __m512i, byte: usize, (scale, min): (__m512, __m512)) -> __m512 {
    // SAFETY: by the contract.
    unsafe {
        let bits = |bits: usize| _mm_cvtsi32_si128(bits as i32);
        if F::SIGNED {
            let top = _mm512_sll_epi32(codes, bits(24 - 8 * byte));
            let code = _mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(top));
            return _mm512_mul_ps(code, scale);
        }
        let low = _mm512_srl_epi32(codes, bits(8 * byte));
        let code = _mm512_and_si512(low, _mm512_set1_epi32(0xff));
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(code), scale, min)
    }
}

/// Two columns of 16 rows, rounded and side by side.
///
/// # Safety
/// AVX-512 BF16 is enabled.
#[inline(always)]
unsafe fn pair(even: __m512, odd: __m512) -> __m512i {
    // SAFETY: by the contract; the two types are bits alike.
    unsafe {
        turn(std::mem::transmute::<__m512bh, __m512i>(
            _mm512_cvtne2ps_pbh(odd, even),
        ))
    }
}

/// Two columns of 16 rows, one after the other, side by side.
///
/// # Safety
/// AVX-512 is enabled.
#[inline(always)]
pub(super) unsafe fn turn(columns: __m512i) -> __m512i {
    /// Row `r` of both columns.
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut row = 0;
        while row < 16 {
            order[2 * row] = row as u16;
            order[2 * row + 1] = 16 + row as u16;
            row += 1;
        }
        order
    };
    // SAFETY: by the contract.
    unsafe { _mm512_permutexvar_epi16(_mm512_loadu_si512(ORDER.as_ptr().cast()), columns) }
}

/// Unpacks a float group to `places`, one for each chunk.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c,bmi1,bmi2"
)]
fn float<'a, E: Columns>(values: &[E], places: impl Iterator<Item = &'a mut [__m512i; PAIRS]>) {
    for (columns, place) in values.chunks(TILE_COLUMNS * LANES).zip(places) {
        if columns.len() < TILE_COLUMNS * LANES {
            place.fill(_mm512_setzero_si512());
        }
        for (columns, pair) in columns.chunks(2 * LANES).zip(place) {
            ask_for(columns.as_ptr(), 2 * LANES);
            // SAFETY: AVX-512 BF16 is enabled; the values are one or two columns of 16 rows.
            *pair = unsafe {
                if columns.len() == 2 * LANES {
                    E::two(columns.as_ptr())
                } else {
                    E::one(columns.as_ptr())
                }
            };
        }
    }
}

/// Stored floats that become pairs of columns.
trait Columns: Copy {
    /// Two columns.
    ///
    /// # Safety
    /// AVX-512 BF16 is enabled; `from` points to two columns of 16 rows.
    unsafe fn two(from: *const Self) -> __m512i;

    /// A column, and zeros.
    ///
    /// # Safety
    /// AVX-512 BF16 is enabled; `from` points to a column of 16 rows.
    unsafe fn one(from: *const Self) -> __m512i;
}

impl Columns for bf16 {
    #[inline(always)]
    unsafe fn two(from: *const Self) -> __m512i {
        // SAFETY: by the contract.
        unsafe { turn(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    unsafe fn one(from: *const Self) -> __m512i {
        // SAFETY: by the contract.
        unsafe { turn(_mm512_zextsi256_si512(_mm256_loadu_si256(from.cast()))) }
    }
}

impl Columns for f16 {
    #[inline(always)]
    unsafe fn two(from: *const Self) -> __m512i {
        // SAFETY: by the contract.
        unsafe {
            let even = _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()));
            pair(
                even,
                _mm512_cvtph_ps(_mm256_loadu_si256(from.add(LANES).cast())),
            )
        }
    }

    #[inline(always)]
    unsafe fn one(from: *const Self) -> __m512i {
        // SAFETY: by the contract.
        unsafe {
            let even = _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()));
            pair(even, _mm512_setzero_ps())
        }
    }
}

impl Columns for f32 {
    #[inline(always)]
    unsafe fn two(from: *const Self) -> __m512i {
        // SAFETY: by the contract.
        unsafe { pair(_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(LANES))) }
    }

    #[inline(always)]
    unsafe fn one(from: *const Self) -> __m512i {
        // SAFETY: by the contract.
        unsafe { pair(_mm512_loadu_ps(from), _mm512_setzero_ps()) }
    }
}
