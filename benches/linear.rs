//! Linear layers of every type: bytes of weights a second for one row, products a second for many.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dino_core::storage::Arena;
use dino_core::{DType, Storage, Tensor};
use dino_kernels::ops::{Linear, LinearInput, linear};
use dino_kernels::{Compute, PackedWeight, QuantizedRows};
use ndarray::Array2;
use std::time::Duration;

/// A layer beyond the caches of most processors, so that one row measures memory.
const ROWS: usize = 16_384;
const COLUMNS: usize = 4096;

fn layers(c: &mut Criterion) {
    let compute = Compute::new(0).expect("threads start");
    for dtype in DType::ALL {
        let bytes = Tensor::byte_size("bench", dtype, &[ROWS, COLUMNS]).expect("whole blocks");
        // Zeros cost what other codes cost.
        let storage = Storage::from_vec(vec![0; bytes]);
        let tensor =
            Tensor::new("bench", dtype, &[ROWS, COLUMNS], storage).expect("a fitting tensor");
        let (lanes, mut arena) = (compute.kernels.lanes(), Arena::new());
        let weight = PackedWeight::pack(&tensor, lanes, &compute.pool, &mut arena).expect("memory");
        drop(tensor);
        for tokens in [1, 4, 64] {
            let mut group = c.benchmark_group(format!("{dtype}"));
            group.throughput(if tokens == 1 {
                Throughput::Bytes(weight.byte_size() as u64)
            } else {
                Throughput::Elements((tokens * ROWS * COLUMNS) as u64)
            });
            let input = Array2::from_elem((tokens, COLUMNS), 0.5);
            let mut quantized = QuantizedRows::new();
            let mut output = Array2::zeros((tokens, ROWS));
            group.bench_function(format!("{tokens} rows"), |bencher| {
                bencher.iter(|| {
                    quantized.fill(&compute, input.view());
                    let input = LinearInput::quantized(input.view(), &quantized);
                    let layer = Linear::store(&weight, None, output.view_mut());
                    linear(&compute, input, &[layer]);
                });
            });
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
