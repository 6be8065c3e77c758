//! Keys and values as attention reads them.

use dino_core::storage::AlignedBytes;
use half::f16;

/// Positions that a [`KvPage`] holds.
pub const PAGE: usize = 64;

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvType {
    /// Half precision: the usual choice.
    #[default]
    F16,
    /// Single precision, for comparisons.
    F32,
}

impl KvType {
    fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// The shape of every page of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Layers with attention.
    pub layers: usize,
    /// Key/value heads of a layer.
    pub kv_heads: usize,
    /// Values in a key or value.
    pub head_dim: usize,
    /// The stored type.
    pub dtype: KvType,
}

impl KvLayout {
    /// `head_dim` rounded up to whole registers; the rest stays zero.
    pub(crate) fn padded_dim(&self) -> usize {
        self.head_dim.next_multiple_of(16)
    }

    fn plane(&self) -> usize {
        self.padded_dim() * PAGE
    }

    /// Bytes of a page.
    pub fn page_bytes(&self) -> usize {
        2 * self.layers * self.kv_heads * self.plane() * self.dtype.bytes()
    }

    /// Bytes that one position takes.
    pub fn bytes_per_position(&self) -> usize {
        self.page_bytes() / PAGE
    }
}

/// [`PAGE`] consecutive positions of one sequence: keys and values of every layer and head.
///
/// Each layer and head has a tile of its own, so that attention walks memory in order: keys transposed,
/// `[head_dim][PAGE]`, for scores of many positions at once; values `[PAGE][head_dim]`, for sums of many
/// features at once. Memory is taken only when positions are written.
#[derive(Clone, Debug)]
pub struct KvPage {
    layout: KvLayout,
    bytes: AlignedBytes,
}

/// The keys and values of one layer and head.
#[derive(Clone, Copy)]
pub(crate) enum KvTile<'a> {
    F16 { keys: &'a [f16], values: &'a [f16] },
    F32 { keys: &'a [f32], values: &'a [f32] },
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

    fn tile_bytes(&self) -> usize {
        2 * self.layout.plane() * self.layout.dtype.bytes()
    }

    /// # Panics
    /// If there is no such layer or head.
    pub(crate) fn tile(&self, layer: usize, head: usize) -> KvTile<'_> {
        assert!(
            layer < self.layout.layers && head < self.layout.kv_heads,
            "tile of the page"
        );
        let start = (layer * self.layout.kv_heads + head) * self.tile_bytes();
        let bytes = &self.bytes.as_slice()[start..start + self.tile_bytes()];
        match self.layout.dtype {
            KvType::F16 => {
                let (keys, values) = bytemuck::cast_slice(bytes).split_at(self.layout.plane());
                KvTile::F16 { keys, values }
            }
            KvType::F32 => {
                let (keys, values) = bytemuck::cast_slice(bytes).split_at(self.layout.plane());
                KvTile::F32 { keys, values }
            }
        }
    }

    /// The tiles of `layer`, one a head, to be written.
    ///
    /// # Panics
    /// If there is no such layer.
    pub(crate) fn tiles_mut(&mut self, layer: usize) -> impl Iterator<Item = KvTileMut<'_>> {
        assert!(layer < self.layout.layers, "layer of the page");
        let (layout, tile) = (self.layout, self.tile_bytes());
        let start = layer * layout.kv_heads * tile;
        let bytes = &mut self.bytes.as_mut_slice()[start..start + layout.kv_heads * tile];
        bytes
            .chunks_exact_mut(tile)
            .map(move |bytes| KvTileMut { layout, bytes })
    }
}

/// A tile to be written.
pub(crate) struct KvTileMut<'a> {
    layout: KvLayout,
    bytes: &'a mut [u8],
}

impl KvTileMut<'_> {
    /// Stores the key and value of the position at `slot`.
    ///
    /// # Panics
    /// If `slot` is not below [`PAGE`], or key or value are no `head_dim` values.
    pub(crate) fn write(&mut self, slot: usize, key: &[f32], value: &[f32]) {
        match self.layout.dtype {
            KvType::F16 => self.write_as::<f16>(slot, key, value, f16::from_f32),
            KvType::F32 => self.write_as::<f32>(slot, key, value, |x| x),
        }
    }

    fn write_as<E: bytemuck::Pod>(
        &mut self,
        slot: usize,
        key: &[f32],
        value: &[f32],
        convert: impl Fn(f32) -> E,
    ) {
        let dim = self.layout.head_dim;
        assert!(
            slot < PAGE && key.len() == dim && value.len() == dim,
            "one position of one head"
        );
        let plane = self.layout.plane();
        let (keys, values) = bytemuck::cast_slice_mut::<u8, E>(self.bytes).split_at_mut(plane);
        for (column, x) in keys.chunks_exact_mut(PAGE).zip(key) {
            column[slot] = convert(*x);
        }
        let row = &mut values[slot * self.layout.padded_dim()..];
        for (to, x) in row.iter_mut().zip(value) {
            *to = convert(*x);
        }
    }
}
