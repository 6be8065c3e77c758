//! Linear layers of every type beside what the machine can do at best, measured in the same run.
//!
//! ```sh
//! cargo bench -p dino-benches --bench limits                    # every type, a thread a core
//! cargo bench -p dino-benches --bench limits -- Q4_0 Q4_K 1     # these types, one thread
//! cargo bench -p dino-benches --bench limits -- cached 1        # all of a layer that the second-level cache holds
//! ```
//!
//! One row reads each weight once: its limit is memory. `cached` is the same for a weight that the second-level cache
//! holds, on one thread: what the kernel could do with faster memory. Many rows are bound by arithmetic: their limit is
//! the instruction set's fastest product of bytes, for float weights that of f32, and that of bf16 where kernels use it.

use dino_core::storage::Arena;
use dino_core::{DType, Storage, Tensor};
use dino_kernels::ops::{Linear, LinearInput, linear};
use dino_kernels::{Bf16Rows, Compute, Limits, PackedWeight, QuantizedRows};
use ndarray::Array2;
use std::time::{Duration, Instant};

/// A layer beyond the caches of most processors.
const LARGE: [usize; 2] = [16_384, 8192];
/// Columns of a layer that a second-level cache holds, and the bytes that it may have.
const SMALL: (usize, usize) = (2048, 400 << 10);
/// How long each figure is measured; the fastest run counts.
const TIME: Duration = Duration::from_millis(250);
/// Tokens of the columns that are bound by arithmetic.
const TOKENS: [usize; 8] = [2, 3, 4, 8, 12, 16, 32, 256];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = |dtype: &DType| {
        arguments
            .iter()
            .any(|name| name.eq_ignore_ascii_case(dtype.name()))
    };
    let all = !DType::ALL.iter().any(named);
    let threads = arguments
        .iter()
        .find_map(|word| word.parse().ok())
        .unwrap_or(0);
    let compute = Compute::new(threads).expect("threads start");
    let one = Compute::new(1).expect("one thread");
    let limits = Limits::measure(&compute).expect("memory");
    let tera = |rate: Option<f64>| rate.map_or("-".into(), |rate| format!("{:.2} T", rate / 1e12));
    println!(
        "{}, {} threads: {:.1} GB/s read; operations a second: f32 {}, bf16 {}, int8 {}\n",
        compute.kernels.isa(),
        compute.pool.threads(),
        limits.read / 1e9,
        tera(limits.f32),
        tera(limits.bf16),
        tera(limits.int8),
    );
    print!("| type   | 1 row, GB/s | share | cached |");
    TOKENS
        .iter()
        .for_each(|tokens| print!(" {tokens:>3} rows, Gop/s | share |"));
    println!(
        "\n|--------|------------:|------:|-------:|{}",
        "---------------:|------:|".repeat(TOKENS.len())
    );
    let is_cached = arguments.iter().any(|word| word == "cached");
    for dtype in DType::ALL.into_iter().filter(|dtype| all || named(dtype)) {
        let small = Layer::new(dtype, small(dtype), &one);
        let large = if is_cached {
            small.clone()
        } else {
            Layer::new(dtype, LARGE, &compute)
        };
        print_type(dtype, (&large, &compute), (&small, &one), &limits);
    }
}

/// The shape of a layer that the second-level cache holds.
fn small(dtype: DType) -> [usize; 2] {
    let row_bytes = Tensor::byte_size("row", dtype, &[1, SMALL.0]).expect("whole blocks");
    [SMALL.1 / row_bytes / 16 * 16, SMALL.0]
}

fn print_type(
    dtype: DType,
    (large, compute): (&Layer, &Compute),
    (small, one): (&Layer, &Compute),
    limits: &Limits,
) {
    let read = large.bytes() / large.seconds(compute, 1);
    let cached = small.bytes() / small.seconds(one, 1);
    print!(
        "| {:<6} | {:>11.1} | {:>4.0}% | {:>6.1} |",
        dtype.name(),
        read / 1e9,
        100.0 * read / limits.read,
        cached / 1e9,
    );
    for tokens in TOKENS {
        let limit = if compute.kernels.takes_bf16(&large.weight, tokens) {
            limits.bf16
        } else if dtype.is_quantized() {
            limits.int8
        } else {
            limits.f32
        };
        let rate = large.operations(tokens) / large.seconds(compute, tokens);
        let share = limit.map_or("-".into(), |limit| format!("{:.0}%", 100.0 * rate / limit));
        print!(" {:>15.0} | {share:>5} |", rate / 1e9);
    }
    println!();
}

#[derive(Clone)]
struct Layer {
    weight: PackedWeight,
}

impl Layer {
    fn new(dtype: DType, shape: [usize; 2], compute: &Compute) -> Self {
        let bytes = Tensor::byte_size("bench", dtype, &shape).expect("whole blocks");
        // Zeros cost what other codes cost.
        let storage = Storage::from_vec(vec![0; bytes]);
        let tensor = Tensor::new("bench", dtype, &shape, storage).expect("a fitting tensor");
        let lanes = compute.kernels.lanes();
        let weight = PackedWeight::pack(&tensor, lanes, &compute.pool, &mut Arena::new());
        Self {
            weight: weight.expect("memory"),
        }
    }

    fn bytes(&self) -> f64 {
        self.weight.byte_size() as f64
    }

    fn operations(&self, tokens: usize) -> f64 {
        2.0 * (tokens * self.weight.rows() * self.weight.columns()) as f64
    }

    /// The least that `tokens` rows take.
    fn seconds(&self, compute: &Compute, tokens: usize) -> f64 {
        let input = Array2::from_elem((tokens, self.weight.columns()), 0.5);
        let mut output = Array2::zeros((tokens, self.weight.rows()));
        let (mut quantized, mut rounded) = (QuantizedRows::new(), Bf16Rows::new());
        let input = if compute.kernels.takes_bf16(&self.weight, tokens) {
            rounded.fill(compute, input.view());
            LinearInput::bf16(input.view(), &rounded)
        } else {
            quantized.fill(compute, input.view());
            LinearInput::quantized(input.view(), &quantized)
        };
        let (started, mut best) = (Instant::now(), f64::INFINITY);
        while started.elapsed() < TIME {
            let start = Instant::now();
            let layer = Linear::store(&self.weight, None, output.view_mut());
            linear(compute, input, &[layer]);
            best = best.min(start.elapsed().as_secs_f64());
        }
        best
    }
}
