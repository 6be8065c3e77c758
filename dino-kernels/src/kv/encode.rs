//! Writing one key or value.

use super::plane::{BLOCK, nibble, pair_index};
use super::{KvType, PAGE};
use half::slice::HalfFloatSliceExt as _;
use half::{bf16, f16};

/// A plane to be written; see [`super::plane`] for its order.
pub(super) struct PlaneMut<'a> {
    dtype: KvType,
    bytes: &'a mut [u8],
}

/// Which way the features of a position run.
#[derive(Clone, Copy)]
enum Order {
    /// Down the rows, `[dim][PAGE]`.
    Key,
    /// Along a row of `[PAGE][dim]`.
    Value { dim: usize },
}

impl<'a> PlaneMut<'a> {
    pub(super) fn new(dtype: KvType, bytes: &'a mut [u8]) -> Self {
        Self { dtype, bytes }
    }

    /// Stores in column `slot` what a key differs by from `center`, or the key if that is empty.
    pub(super) fn write_key(&mut self, slot: usize, key: &[f32], center: &[bf16]) {
        self.write(slot, key, center, Order::Key);
    }

    /// Stores a value in row `slot`.
    pub(super) fn write_value(&mut self, slot: usize, value: &[f32]) {
        let dim = super::Plane::padded(self.dtype, value.len());
        self.write(slot, value, &[], Order::Value { dim });
    }

    fn write(&mut self, slot: usize, vector: &[f32], center: &[bf16], order: Order) {
        for (index, part) in vector.chunks(BLOCK).enumerate() {
            let mut block = [0.0; BLOCK];
            block[..part.len()].copy_from_slice(part);
            let center = center.iter().skip(index * BLOCK);
            for (x, center) in block[..part.len()].iter_mut().zip(center) {
                *x -= center.to_f32();
            }
            let block = Block {
                order,
                slot,
                first: index * BLOCK,
                values: &block,
                len: part.len(),
            };
            match self.dtype {
                KvType::F32 => block.scatter(bytemuck::cast_slice_mut(self.bytes), block.values),
                KvType::F16 => {
                    let mut halves = [f16::ZERO; BLOCK];
                    halves.convert_from_f32_slice(block.values);
                    block.scatter(bytemuck::cast_slice_mut(self.bytes), &halves);
                }
                KvType::Bf16 => block.put_bf16(bytemuck::cast_slice_mut(self.bytes)),
                KvType::Q8_0 => block.put_q8(self.bytes),
                KvType::Q4_0 => block.put_q4(self.bytes),
            }
        }
    }
}

/// Up to 32 features of one position; those past `len` are zero.
struct Block<'a> {
    order: Order,
    slot: usize,
    /// The first feature.
    first: usize,
    values: &'a [f32; BLOCK],
    len: usize,
}

impl Block<'_> {
    /// Row, column and columns of the block's feature `index` in its plane.
    fn place(&self, index: usize) -> (usize, usize, usize) {
        match self.order {
            Order::Key => (self.first + index, self.slot, PAGE),
            Order::Value { dim } => (self.slot, self.first + index, dim),
        }
    }

    fn scatter<E: Copy>(&self, plane: &mut [E], elements: &[E; BLOCK]) {
        match self.order {
            Order::Key => {
                let columns = plane[self.first * PAGE..].chunks_exact_mut(PAGE);
                for (column, element) in columns.zip(&elements[..self.len]) {
                    column[self.slot] = *element;
                }
            }
            Order::Value { dim } => {
                let start = self.slot * dim + self.first;
                plane[start..start + self.len].copy_from_slice(&elements[..self.len]);
            }
        }
    }

    fn put_bf16(&self, plane: &mut [bf16]) {
        for (index, value) in self.values[..self.len].iter().enumerate() {
            let (row, column, columns) = self.place(index);
            plane[pair_index(row, column, columns)] = bf16::from_f32(*value);
        }
    }

    /// `scale = max |x| / 127`, codes to the nearest.
    fn put_q8(&self, plane: &mut [u8]) {
        let max = self.values.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        let (scale, inverse) = scale(max / 127.0);
        let code = |x: f32| nearest(x * inverse).clamp(-127.0, 127.0) as i8 as u8;
        let codes = self.values.map(code);
        let (plane, scales) = self.split(plane, BLOCK);
        // Whole blocks: the codes of what pads a block are written too.
        let whole = Block {
            len: BLOCK,
            ..*self
        };
        whole.scatter(plane, &codes);
        scales[self.first / BLOCK * PAGE + self.slot] = scale;
    }

    /// `scale = x / -8` for the x of greatest magnitude, so that its code is 0 and no code is beyond 15.
    fn put_q4(&self, plane: &mut [u8]) {
        let magnitude = |x: &&f32, y: &&f32| x.abs().total_cmp(&y.abs());
        let greatest = self.values.iter().max_by(magnitude).copied();
        let (scale, inverse) = scale(greatest.unwrap_or(0.0) / -8.0);
        let (plane, scales) = self.split(plane, BLOCK / 2);
        for (index, x) in self.values.iter().enumerate() {
            let code = (nearest(x * inverse) + 8.0).clamp(0.0, 15.0) as u8;
            let (row, column, columns) = self.place(index);
            let (byte, shift) = nibble(row, column, columns);
            plane[byte] = plane[byte] & !(0xf << shift) | code << shift;
        }
        scales[self.first / BLOCK * PAGE + self.slot] = scale;
    }

    /// Codes and scales of a plane with `bytes` bytes of codes to a scale.
    fn split<'p>(&self, plane: &'p mut [u8], bytes: usize) -> (&'p mut [u8], &'p mut [f16]) {
        let codes = plane.len() / (bytes + 2) * bytes;
        let (codes, scales) = plane.split_at_mut(codes);
        (codes, bytemuck::cast_slice_mut(scales))
    }
}

/// The stored scale, and what values are multiplied by to become codes: its inverse, or 0 where it vanishes.
fn scale(exact: f32) -> (f16, f32) {
    let most = f16::MAX.to_f32();
    let stored = f16::from_f32(exact.clamp(-most, most));
    let inverse = stored.to_f32().recip();
    (stored, if inverse.is_finite() { inverse } else { 0.0 })
}

/// The nearest integer, ties to even, of a number far below 2^22: what `round_ties_even` gives, without a call.
fn nearest(x: f32) -> f32 {
    const ROUNDER: f32 = 12_582_912.0;
    (x + ROUNDER) - ROUNDER
}
