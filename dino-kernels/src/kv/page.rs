//! Pages: the memory of keys and values.

use super::encode::PlaneMut;
use super::{KvTypes, PAGE, Plane};
use dino_core::storage::AlignedBytes;
use half::bf16;

/// The shape of every page of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Layers with attention.
    pub layers: usize,
    /// Key/value heads of a layer.
    pub kv_heads: usize,
    /// Values in a key or value.
    pub head_dim: usize,
    /// The stored types.
    pub types: KvTypes,
}

impl KvLayout {
    /// Features of a stored key: `head_dim` in whole registers or blocks; those in excess are zero.
    pub(crate) fn key_dim(&self) -> usize {
        Plane::padded(self.types.keys, self.head_dim)
    }

    /// Features of a stored value.
    pub(crate) fn value_dim(&self) -> usize {
        Plane::padded(self.types.values, self.head_dim)
    }

    fn key_bytes(&self) -> usize {
        Plane::byte_size(self.types.keys, self.key_dim())
    }

    fn value_bytes(&self) -> usize {
        Plane::byte_size(self.types.values, self.value_dim())
    }

    /// Bytes of what keys are centered on, in whole lines.
    fn center_bytes(&self) -> usize {
        if self.types.keys.is_centered() {
            (self.key_dim() * size_of::<bf16>()).next_multiple_of(64)
        } else {
            0
        }
    }

    fn tile_bytes(&self) -> usize {
        self.key_bytes() + self.value_bytes() + self.center_bytes()
    }

    /// Bytes of a page.
    pub fn page_bytes(&self) -> usize {
        self.layers * self.kv_heads * self.tile_bytes()
    }

    /// Bytes that one position takes.
    pub fn bytes_per_position(&self) -> usize {
        self.page_bytes() / PAGE
    }
}

/// [`PAGE`] consecutive positions of one sequence: keys and values of every layer and head.
///
/// Each layer and head has a tile of its own, a plane of keys and one of values, so that attention walks memory in
/// order. Where keys are centered, the first key follows as bf16, and the plane holds what keys
/// differ by from it. Memory is taken only when positions are written.
#[derive(Clone, Debug)]
pub struct KvPage {
    layout: KvLayout,
    bytes: AlignedBytes,
}

impl KvPage {
    /// An empty page.
    pub fn new(layout: KvLayout) -> Self {
        Self {
            layout,
            bytes: AlignedBytes::zeroed(layout.page_bytes()),
        }
    }

    /// The shape that it was made with.
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// All of it, as it lies in memory: to be saved, and read by the same layout.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The same, to be filled with what was saved. Any bytes give finite work and no fault; only those of
    /// [`Self::as_bytes`] give sense.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.as_mut_slice()
    }

    /// The bytes of keys, of values and of the center of a layer and head.
    fn tile(&self, layer: usize, head: usize) -> [&[u8]; 3] {
        let layout = &self.layout;
        assert!(
            layer < layout.layers && head < layout.kv_heads,
            "tile of the page"
        );
        let (size, start) = (layout.tile_bytes(), layer * layout.kv_heads + head);
        let tile = &self.bytes.as_slice()[start * size..(start + 1) * size];
        let (keys, rest) = tile.split_at(layout.key_bytes());
        let (values, center) = rest.split_at(layout.value_bytes());
        [keys, values, center]
    }

    /// The keys of a layer and head.
    ///
    /// # Panics
    /// If there is no such layer or head.
    pub(crate) fn keys(&self, layer: usize, head: usize) -> Plane<'_> {
        Plane::new(self.layout.types.keys, self.tile(layer, head)[0])
    }

    /// The values of a layer and head.
    ///
    /// # Panics
    /// If there is no such layer or head.
    pub(crate) fn values(&self, layer: usize, head: usize) -> Plane<'_> {
        Plane::new(self.layout.types.values, self.tile(layer, head)[1])
    }

    /// What was taken off all keys of a layer and head, where keys are centered: a value for each feature.
    ///
    /// # Panics
    /// If there is no such layer or head.
    pub(crate) fn center(&self, layer: usize, head: usize) -> Option<&[bf16]> {
        let center: &[bf16] = bytemuck::cast_slice(self.tile(layer, head)[2]);
        center.get(..self.layout.key_dim())
    }

    /// The tiles of `layer`, one a head, to be written.
    ///
    /// # Panics
    /// If there is no such layer.
    pub(crate) fn tiles_mut(&mut self, layer: usize) -> impl Iterator<Item = KvTileMut<'_>> {
        assert!(layer < self.layout.layers, "layer of the page");
        let (layout, tile) = (self.layout, self.layout.tile_bytes());
        let start = layer * layout.kv_heads * tile;
        let bytes = &mut self.bytes.as_mut_slice()[start..start + layout.kv_heads * tile];
        bytes.chunks_exact_mut(tile).map(move |bytes| {
            let (keys, rest) = bytes.split_at_mut(layout.key_bytes());
            let (values, center) = rest.split_at_mut(layout.value_bytes());
            KvTileMut {
                head_dim: layout.head_dim,
                keys: PlaneMut::new(layout.types.keys, keys),
                values: PlaneMut::new(layout.types.values, values),
                center: bytemuck::cast_slice_mut(center),
            }
        })
    }
}

/// A tile to be written.
pub(crate) struct KvTileMut<'a> {
    head_dim: usize,
    keys: PlaneMut<'a>,
    values: PlaneMut<'a>,
    /// Empty where keys are not centered.
    center: &'a mut [bf16],
}

impl KvTileMut<'_> {
    /// Stores the key and value of the position at `slot`, rotated already where their type asks for it. The first slot
    /// comes first: its key is what the others are centered on.
    ///
    /// # Panics
    /// If `slot` is not below [`PAGE`], or key or value are no `head_dim` values.
    pub(crate) fn write(&mut self, slot: usize, key: &[f32], value: &[f32]) {
        let dim = self.head_dim;
        assert!(
            slot < PAGE && key.len() == dim && value.len() == dim,
            "one position of one head"
        );
        if slot == 0 {
            let center = self.center.iter_mut().zip(key);
            center.for_each(|(center, &key)| *center = bf16::from_f32(key));
        }
        self.keys.write_key(slot, key, self.center);
        self.values.write_value(slot, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KvType;
    use crate::testing::Random;

    /// How far a stored element may be from what was written, for elements up to 2: differences of such up to 1.
    fn tolerance(dtype: KvType) -> f32 {
        match dtype {
            KvType::F32 => 0.0,
            KvType::F16 => 1.0 / 2048.0,
            KvType::Bf16 => 1.0 / 256.0,
            // Half a step of the scale, and the scale's own rounding.
            KvType::Q8_0 => 2.0 / 254.0 + 2.0 / 2048.0,
            KvType::Q4_0 => 2.0 / 8.0,
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_changes() {
        let mut random = Random::new(3);
        for keys in KvType::ALL {
            for values in KvType::ALL {
                for head_dim in [1, 20, 64, 80] {
                    let layout = KvLayout {
                        layers: 2,
                        kv_heads: 2,
                        head_dim,
                        types: KvTypes { keys, values },
                    };
                    let mut page = KvPage::new(layout);
                    let rows: Vec<_> = (0..PAGE)
                        .map(|_| (random.values(head_dim), random.values(head_dim)))
                        .collect();
                    // Each slot twice, so that what was there before must not show.
                    for slot in (0..PAGE).chain(0..PAGE) {
                        let tile = page.tiles_mut(1).nth(1);
                        tile.unwrap().write(slot, &rows[slot].0, &rows[slot].1);
                    }
                    check(&page, &rows, head_dim);
                }
            }
        }
    }

    fn check(page: &KvPage, rows: &[(Vec<f32>, Vec<f32>)], head_dim: usize) {
        let types = page.layout().types;
        let (keys, values) = (page.keys(1, 1), page.values(1, 1));
        for (slot, (key, value)) in rows.iter().enumerate() {
            for feature in 0..head_dim {
                let center = page
                    .center(1, 1)
                    .map_or(0.0, |center| center[feature].to_f32());
                let errors = [
                    (keys.key(feature, slot) + center - key[feature], types.keys),
                    (values.value(slot, feature) - value[feature], types.values),
                ];
                for (error, dtype) in errors {
                    assert!(error.abs() <= tolerance(dtype), "{dtype}: {error}");
                }
            }
            for feature in head_dim..keys.dim() {
                assert_eq!(keys.key(feature, slot), 0.0);
            }
            for feature in head_dim..values.dim() {
                assert_eq!(values.value(slot, feature), 0.0);
            }
        }
        let others = [(0, 0), (0, 1), (1, 0)];
        for (layer, head) in others {
            assert_eq!(page.keys(layer, head).key(0, 0), 0.0);
            assert_eq!(page.values(layer, head).value(0, 0), 0.0);
        }
    }

    #[test]
    fn a_page_takes_what_its_types_say() {
        let layout = |types| KvLayout {
            layers: 3,
            kv_heads: 2,
            head_dim: 64,
            types,
        };
        let bits = |both: KvType| layout(both.into()).bytes_per_position() * 8 / (3 * 2 * 64);
        assert_eq!(KvType::ALL.map(bits), [64, 32, 32, 17, 9]);
    }
}
