//! Weights of which many are zero: one row times a layer beyond the caches, dense and without the zeros.

use criterion::{Criterion, criterion_group, criterion_main};
use dino_core::storage::Arena;
use dino_core::{DType, Storage, Tensor};
use dino_kernels::ops::{Linear, LinearInput, linear};
use dino_kernels::{Compute, PackedWeight, QuantizedRows};
use ndarray::Array2;
use std::time::Duration;

const ROWS: usize = 16_384;
const COLUMNS: usize = 4096;

/// A matrix of which `zeros` of each 100 codes are zero.
fn tensor(dtype: DType, zeros: u32) -> Tensor {
    let size = Tensor::byte_size("bench", dtype, &[ROWS, COLUMNS]).expect("whole blocks");
    let mut state = 1_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let zero = if dtype == DType::Q4_0 { 8 } else { 0 };
    let mut code = |bits: u32| match random() {
        drawn if drawn % 100 < zeros => zero,
        drawn => (drawn >> 7) as u8 & ((1 << bits) - 1) as u8,
    };
    let bytes = (0..size).map(|at| match at % dtype.block_bytes() {
        0 => 0,
        1 => 0x20,
        _ if dtype == DType::Q4_0 => code(4) | code(4) << 4,
        _ => code(8),
    });
    let storage = Storage::from_vec(bytes.collect());
    Tensor::new("bench", dtype, &[ROWS, COLUMNS], storage).expect("a fitting tensor")
}

fn layers(c: &mut Criterion) {
    let compute = Compute::new(0).expect("threads start");
    let (lanes, mut arena) = (compute.kernels.lanes(), Arena::new());
    for dtype in [DType::Q8_0, DType::Q4_0] {
        let mut group = c.benchmark_group(format!("{dtype}"));
        let mut quantized = QuantizedRows::new();
        let input = Array2::from_elem((1, COLUMNS), 0.5);
        let mut output = Array2::zeros((1, ROWS));
        let mut run = |name: String, weight: &PackedWeight| {
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    quantized.fill(&compute, input.view());
                    let input = LinearInput::quantized(input.view(), &quantized);
                    let layer = Linear::store(weight, None, output.view_mut());
                    linear(&compute, input, &[layer]);
                });
            });
        };
        let dense = PackedWeight::pack(&tensor(dtype, 0), lanes, &compute.pool, &mut arena);
        run("dense".into(), &dense.expect("memory"));
        for zeros in [30, 50, 70, 90] {
            let tensor = tensor(dtype, zeros);
            let sparse = PackedWeight::pack_sparse(&tensor, lanes, &compute.pool, &mut arena);
            run(format!("{zeros} % zeros"), &sparse.expect("memory"));
        }
    }
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group!(name = kernels; config = quick(); targets = layers);
criterion_main!(kernels);
