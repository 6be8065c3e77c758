//! The vector kernels of every instruction set, on rows as long as those of real models.

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use dino_kernels::{Activation, Isa, Kernels, VectorKernels};
use std::hint::black_box;
use std::time::Duration;

const FEATURES: usize = 4096;

fn kernels(c: &mut Criterion) {
    for isa in Isa::available() {
        let kernels = Kernels::for_isa(isa).expect("an available set");
        let mut group = c.benchmark_group(isa.name());
        group.throughput(Throughput::Elements(FEATURES as u64));
        bench_all(&mut group, &kernels.vector);
    }
}

fn bench_all(group: &mut BenchmarkGroup<'_, WallTime>, kernels: &VectorKernels) {
    let ones = vec![1.0; FEATURES];
    let start: Vec<f32> = (0..FEATURES)
        .map(|i| (i % 97) as f32 / 24.0 - 2.0)
        .collect();
    let mut bench = |name: &str, kernel: &dyn Fn(&mut [f32])| {
        let mut x = start.clone();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                // Else the values would drift from run to run, into subnormal ones at last.
                kernels.copy(&mut x, &start);
                kernel(black_box(&mut x));
            });
        });
    };
    bench("copy alone", &|_| {});
    bench("rms_norm", &|x| kernels.rms_norm(x, &ones, 1e-5));
    bench("softmax", &|x| kernels.softmax(x));
    bench("silu_gate", &|x| {
        kernels.activate_gate(x, &ones, Activation::Silu);
    });
    bench("gelu_tanh", &|x| kernels.activate(x, Activation::GeluTanh));
    bench("add", &|x| kernels.add(x, &ones));
    bench("dot", &|x| {
        black_box(kernels.dot(x, &ones));
    });
    bench("argmax", &|x| {
        black_box(kernels.argmax(x));
    });
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
}

criterion_group!(name = vector; config = quick(); targets = kernels);
criterion_main!(vector);
