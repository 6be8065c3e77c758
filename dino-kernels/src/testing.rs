//! Inputs for tests: repeatable random numbers and tensors of any type.

use dino_core::{DType, Storage, Tensor};

/// A small generator of repeatable random numbers (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in -1…1.
    pub(crate) fn value(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}

/// A matrix of random blocks: any codes, scales of sane size.
pub(crate) fn random_tensor(
    dtype: DType,
    rows: usize,
    columns: usize,
    random: &mut Random,
) -> Tensor {
    let size = Tensor::byte_size("random", dtype, &[rows, columns]).unwrap();
    let mut bytes: Vec<u8> = (0..size).map(|_| random.bits() as u8).collect();
    for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
        let mut half = |at: usize| {
            let scale = half::f16::from_f32(random.value() / 16.0);
            block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
        };
        match dtype {
            DType::F16 | DType::Q4_0 | DType::Q5_0 | DType::Q8_0 => half(0),
            DType::IQ4_NL | DType::IQ4_XS => half(0),
            DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => {
                [0, 2].into_iter().for_each(half);
            }
            DType::Q2_K => [80, 82].into_iter().for_each(half),
            DType::Q3_K => half(108),
            DType::Q6_K => half(208),
            DType::F32 => block.copy_from_slice(&random.value().to_le_bytes()),
            DType::BF16 => {
                let value = half::bf16::from_f32(random.value());
                block.copy_from_slice(&value.to_le_bytes());
            }
            DType::MXFP4 => block[0] = 120 + (random.bits() % 8) as u8,
            other => unreachable!("{other} has no random blocks yet"),
        }
    }
    Tensor::new("random", dtype, &[rows, columns], Storage::from_vec(bytes)).unwrap()
}
