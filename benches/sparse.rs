//! Weights of which many are zero: a few rows times layers beyond the caches, dense and without the zeros, in turn.
//!
//! ```sh
//! cargo bench -p dino-benches --bench sparse                # a thread a core
//! cargo bench -p dino-benches --bench sparse -- Q8_0 1      # one type, one thread
//! cargo bench -p dino-benches --bench sparse -- cached 1    # a layer that the second-level cache holds
//! ```
//!
//! Each round reads all copies of the dense layer, then those with more and more zeros; the fastest round of each counts.
//! `N:M` keeps N of each M codes of a row.

use dino_core::storage::Arena;
use dino_core::{DType, Storage, Tensor};
use dino_kernels::ops::{Linear, LinearInput, linear};
use dino_kernels::{Compute, PackedWeight, QuantizedRows};
use ndarray::Array2;
use std::time::Instant;

const COLUMNS: usize = 4096;
/// Rows of a layer, and how many there are, so that none is in a cache when its turn comes again.
const LARGE: (usize, usize) = (8192, 8);
/// The same of a layer that a second-level cache holds; only the first is run. Kernels ask for what lies behind a weight, and
/// what lies behind the end of all memory takes long to be found missing.
const SMALL: (usize, usize) = (64, 2);
const ROUNDS: usize = 15;
/// Times that a layer in the cache is run in a round.
const REPEATED: usize = 100;
/// Rows of input.
const TOKENS: [usize; 7] = [1, 2, 4, 8, 16, 32, 128];

/// Which codes are zero.
#[derive(Clone, Copy)]
enum Zeros {
    Percent(u32),
    /// All but so many of so many neighbours.
    Kept(usize, usize),
}

const KINDS: [Zeros; 8] = [
    Zeros::Percent(20),
    Zeros::Percent(30),
    Zeros::Percent(40),
    Zeros::Percent(50),
    Zeros::Percent(60),
    Zeros::Percent(70),
    Zeros::Percent(90),
    Zeros::Kept(2, 4),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let threads = arguments.iter().find_map(|word| word.parse().ok());
    let compute = Compute::new(threads.unwrap_or(0)).expect("threads start");
    println!(
        "{}, {} threads; times as fast as dense\n",
        compute.kernels.isa(),
        compute.pool.threads()
    );
    let is_cached = arguments.iter().any(|word| word == "cached");
    let shape = if is_cached { SMALL } else { LARGE };
    for dtype in [DType::Q8_0, DType::Q4_0] {
        let named = |word: &String| word.eq_ignore_ascii_case(dtype.name());
        let others = arguments.iter().any(|word| word.starts_with('Q'));
        if !others || arguments.iter().any(named) {
            print_type(&compute, dtype, shape);
        }
    }
}

fn print_type(compute: &Compute, dtype: DType, (rows, copies): (usize, usize)) {
    print!("| {dtype}, rows | dense, GB/s |");
    for zeros in KINDS {
        match zeros {
            Zeros::Percent(percent) => print!(" {percent} % |"),
            Zeros::Kept(kept, of) => print!(" {kept}:{of} |"),
        }
    }
    println!("\n|---|--:|{}", "--:|".repeat(KINDS.len()));
    let (lanes, mut arena) = (compute.kernels.lanes(), Arena::new());
    let mut layers = |zeros: Option<Zeros>| -> Vec<PackedWeight> {
        let tensor = tensor(dtype, rows, zeros.unwrap_or(Zeros::Percent(0)));
        let mut pack = || match zeros {
            None => PackedWeight::pack(&tensor, lanes, &compute.pool, &mut arena),
            Some(_) => PackedWeight::pack_sparse(&tensor, lanes, &compute.pool, &mut arena),
        };
        (0..copies).map(|_| pack().expect("memory")).collect()
    };
    let dense = layers(None);
    let sparse = KINDS.map(|zeros| layers(Some(zeros)));
    let times = if rows == SMALL.0 { REPEATED } else { copies };
    let bytes = byte_size(dtype, rows) * times;
    for tokens in TOKENS {
        let mut pass = Pass::new(compute, [tokens, rows]);
        let (mut best, mut others) = (f64::INFINITY, KINDS.map(|_| f64::INFINITY));
        for _ in 0..ROUNDS {
            best = best.min(pass.seconds(&dense));
            for (best, layers) in others.iter_mut().zip(&sparse) {
                *best = best.min(pass.seconds(layers));
            }
        }
        print!("| {tokens} | {:.1} |", bytes as f64 / best / 1e9);
        others
            .iter()
            .for_each(|time| print!(" {:.2} |", best / time));
        println!();
    }
    println!();
}

/// Input and output of layers.
struct Pass<'a> {
    compute: &'a Compute,
    input: Array2<f32>,
    output: Array2<f32>,
    quantized: QuantizedRows,
}

impl<'a> Pass<'a> {
    fn new(compute: &'a Compute, [tokens, rows]: [usize; 2]) -> Self {
        Self {
            compute,
            input: Array2::from_elem((tokens, COLUMNS), 0.5),
            output: Array2::zeros((tokens, rows)),
            quantized: QuantizedRows::new(),
        }
    }

    fn seconds(&mut self, layers: &[PackedWeight]) -> f64 {
        self.quantized.fill(self.compute, self.input.view());
        let started = Instant::now();
        let (run, times) = if self.output.ncols() == SMALL.0 {
            (&layers[..1], REPEATED)
        } else {
            (layers, 1)
        };
        for weight in run.iter().cycle().take(times * run.len()) {
            let input = LinearInput::quantized(self.input.view(), &self.quantized);
            let layer = Linear::store(weight, None, self.output.view_mut());
            linear(self.compute, input, &[layer]);
        }
        started.elapsed().as_secs_f64()
    }
}

fn byte_size(dtype: DType, rows: usize) -> usize {
    Tensor::byte_size("bench", dtype, &[rows, COLUMNS]).expect("whole blocks")
}

/// A matrix with such zeros among its codes.
fn tensor(dtype: DType, rows: usize, zeros: Zeros) -> Tensor {
    let zero = if dtype == DType::Q4_0 { 8 } else { 0 };
    let mut state = 1_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    // Of the neighbours: those still to come, and how many of these are kept.
    let (mut left, mut wanted) = (0, 0);
    let mut code = |bits: u32| {
        let is_zero = match zeros {
            Zeros::Percent(percent) => random() % 100 < percent,
            Zeros::Kept(kept, of) => {
                if left == 0 {
                    (left, wanted) = (of, kept);
                }
                let goes = random() as usize % left >= wanted;
                left -= 1;
                wanted -= usize::from(!goes);
                goes
            }
        };
        let drawn = 1 + random() % ((1 << bits) - 1);
        if is_zero { zero } else { drawn as u8 }
    };
    let bytes = (0..byte_size(dtype, rows)).map(|at| match at % dtype.block_bytes() {
        0 => 0,
        1 => 0x20,
        _ if dtype == DType::Q4_0 => code(4) | code(4) << 4,
        _ => code(8),
    });
    let storage = Storage::from_vec(bytes.collect());
    Tensor::new("bench", dtype, &[rows, COLUMNS], storage).expect("a fitting tensor")
}
