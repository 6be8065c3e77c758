//! Linear layers of every instruction set against the scalar reference and against f64.

use super::{Linear, LinearInput, linear};
use crate::ops::{EmbeddingTable, embed};
use crate::testing::{Random, random_tensor};
use crate::{
    Bf16Rows, Compute, Isa, Kernels, PackedWeight, Panels, QuantizedRows, ThreadPool, Tuning,
};
use dino_core::storage::Arena;
use dino_core::{DType, Tensor};
use ndarray::Array2;

fn compute(kernels: &'static Kernels) -> Compute {
    Compute::of(kernels, ThreadPool::new(2).unwrap())
}

/// How a layer's input is rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Precise,
    Bytes,
    Bf16,
    /// As models have it done.
    Best,
}

fn run(compute: &Compute, tensor: &Tensor, input: &Array2<f32>, way: Way) -> Array2<f32> {
    let weight = PackedWeight::pack(
        tensor,
        compute.kernels.lanes(),
        &compute.pool,
        &mut Arena::new(),
    )
    .unwrap();
    multiply(compute, &weight, input, way)
}

fn multiply(
    compute: &Compute,
    weight: &PackedWeight,
    input: &Array2<f32>,
    way: Way,
) -> Array2<f32> {
    let mut output = Array2::from_elem((input.nrows(), weight.rows()), f32::NAN);
    let (mut quantized, mut rounded) = (QuantizedRows::new(), Bf16Rows::new());
    let is_best = way == Way::Best && compute.kernels.takes_bf16(weight, input.nrows());
    let rows = if way == Way::Precise {
        LinearInput::precise(input.view())
    } else if way == Way::Bf16 || is_best {
        rounded.fill(compute, input.view());
        LinearInput::bf16(input.view(), &rounded)
    } else {
        quantized.fill(compute, input.view());
        LinearInput::quantized(input.view(), &quantized)
    };
    linear(
        compute,
        rows,
        &[Linear::store(weight, None, output.view_mut())],
    );
    output
}

fn random_rows(rows: usize, columns: usize, random: &mut Random) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |_| random.value())
}

/// `Σ |w x|` of each output: what rounding errors are measured against.
fn magnitudes(tensor: &Tensor, input: &Array2<f32>) -> Array2<f32> {
    input
        .mapv(f32::abs)
        .dot(&tensor.to_array().unwrap().mapv(f32::abs).t())
}

/// Each set gives what scalar code gives, for all types, ragged row counts and numbers of tokens.
#[test]
fn every_set_agrees_with_scalar() {
    let scalar = compute(Kernels::for_isa(Isa::Scalar).unwrap());
    let mut random = Random::new(1);
    for kernels in Kernels::under_test().unwrap() {
        let compute = compute(kernels);
        for dtype in DType::ALL {
            let few = [(1, 1), (8, 2), (17, 3), (33, 4), (40, 7), (5, 13), (16, 1)];
            let many = [(17, 24), (50, 33), (7, 47), (33, 66), (64, 32)];
            for (rows, tokens) in few.into_iter().chain(many) {
                let columns = match dtype.block_len() {
                    // Neither whole runs of 32 nor whole pairs, where 8 bits are not asked for.
                    1 if tokens % 2 == 1 => 101,
                    len => 3 * len.max(32),
                };
                let tensor = random_tensor(dtype, rows, columns, &mut random);
                let input = random_rows(tokens, columns, &mut random);
                let bounds = magnitudes(&tensor, &input);
                for way in [Way::Bytes, Way::Precise, Way::Bf16] {
                    if way == Way::Bytes && columns % 32 > 0 {
                        continue;
                    }
                    let expected = run(&scalar, &tensor, &input, way);
                    let found = run(&compute, &tensor, &input, way);
                    for ((at, expected), found) in expected.indexed_iter().zip(&found) {
                        // Each of `columns` sums rounds once; offsets make 4-bit sums up to 16 × larger.
                        let bound = columns as f32 * f32::EPSILON * bounds[at] * 4.0 + 1e-6;
                        assert!(
                            (expected - found).abs() <= bound,
                            "{:?} {dtype} {rows}×{columns}, {tokens} tokens, {way:?}, {at:?}: \
                             {expected} expected, {found} found",
                            kernels.isa()
                        );
                    }
                }
            }
        }
    }
}

/// Blocks of every height, alone and in pairs, times one group and more: small enough for an emulated processor, where AMX
/// can be tested without a real one.
#[test]
fn tiles_agree_with_scalar_in_every_shape() {
    let scalar = compute(Kernels::for_isa(Isa::Scalar).unwrap());
    let mut random = Random::new(8);
    let shapes = [
        (32, 16),
        (33, 17),
        (16, 31),
        (7, 32),
        (20, 33),
        (50, 48),
        (16, 50),
    ];
    let sets = Kernels::under_test().unwrap().into_iter();
    for kernels in sets.filter(|kernels| [Isa::Bf16, Isa::Amx].contains(&kernels.isa())) {
        let compute = compute(kernels);
        for dtype in DType::ALL {
            for (rows, tokens) in shapes {
                let columns = if dtype.is_quantized() {
                    dtype.block_len().max(64)
                } else {
                    101
                };
                let tensor = random_tensor(dtype, rows, columns, &mut random);
                let input = random_rows(tokens, columns, &mut random);
                let bounds = magnitudes(&tensor, &input);
                let expected = run(&scalar, &tensor, &input, Way::Bf16);
                let found = run(&compute, &tensor, &input, Way::Bf16);
                for ((at, expected), found) in expected.indexed_iter().zip(&found) {
                    let bound = columns as f32 * f32::EPSILON * bounds[at] + 1e-6;
                    assert!(
                        (expected - found).abs() <= bound,
                        "{dtype} {rows}×{columns}, {tokens} tokens, {at:?}: {expected} expected, {found} found"
                    );
                }
            }
        }
    }
}

/// What else shares a pass changes no bit of a row, on whatever path its number takes it.
#[test]
fn a_row_gives_the_same_bits_alone_and_among_others() {
    let mut random = Random::new(6);
    for kernels in Kernels::under_test().unwrap() {
        let compute = compute(kernels.reproducible());
        for dtype in DType::ALL {
            // More than a panel holds at once.
            let block = dtype.block_len().max(32);
            let columns = (1088 / block + 1) * block;
            let tensor = random_tensor(dtype, 49, columns, &mut random);
            let input = random_rows(71, columns, &mut random);
            let all = run(&compute, &tensor, &input, Way::Best);
            for (first, count) in [(0, 1), (1, 2), (3, 5), (8, 13), (21, 24), (70, 1)] {
                let part = input.slice(ndarray::s![first..first + count, ..]);
                let alone = run(&compute, &tensor, &part.to_owned(), Way::Best);
                let among = all.slice(ndarray::s![first..first + count, ..]);
                assert_eq!(alone, among, "{:?} {dtype} {first}+{count}", kernels.isa());
            }
        }
    }
}

/// Rows that are interleaved on the way are those that were packed before.
#[test]
fn an_unpacked_weight_gives_the_bits_of_a_packed_one() {
    let mut random = Random::new(11);
    for kernels in Kernels::under_test().unwrap() {
        let compute = compute(kernels);
        for dtype in DType::ALL {
            let columns = 2 * dtype.block_len().max(32);
            let tensor = random_tensor(dtype, 83, columns, &mut random);
            let weight = PackedWeight::unpacked(&tensor, kernels.lanes()).unwrap();
            assert_eq!(weight.storage().as_slice(), tensor.storage().as_slice());
            let ways = [
                (1, Way::Bytes),
                (5, Way::Bytes),
                (70, Way::Bytes),
                (3, Way::Precise),
            ];
            let rounded = [1, 40].map(|tokens| (tokens, Way::Bf16));
            for (tokens, way) in ways.into_iter().chain(rounded) {
                let input = random_rows(tokens, columns, &mut random);
                let expected = run(&compute, &tensor, &input, way);
                let found = multiply(&compute, &weight, &input, way);
                assert_eq!(expected, found, "{:?} {dtype} {tokens}", kernels.isa());
            }
            let packed =
                PackedWeight::pack(&tensor, kernels.lanes(), &compute.pool, &mut Arena::new());
            let ids = [82, 0, 17];
            let rows = [&packed.unwrap(), &weight].map(|weight| {
                let mut rows = Array2::zeros((3, columns));
                let table = EmbeddingTable::Packed(weight);
                embed(&compute, table, &ids, rows.view_mut()).unwrap();
                rows
            });
            assert_eq!(rows[0], rows[1], "{dtype}");
        }
    }
}

/// Whichever way is chosen for speed, the bits are the same.
#[test]
fn no_tuning_changes_a_bit() {
    let mut random = Random::new(9);
    for kernels in Kernels::under_test().unwrap() {
        let compute = compute(kernels);
        let usual = kernels.tuning();
        let panels = [(2, 1 << 12), (9, 14 << 10), (4096, 28 << 10), (24, 1 << 20)];
        let others = panels.map(|(from, bytes)| Tuning {
            task_work: bytes << 2,
            panels: usual.panels.map(|_| Panels {
                from,
                from_blocks: from,
                bytes,
            }),
        });
        for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_quantized()) {
            // More than a panel holds at once.
            let columns = (1600 / dtype.block_len() + 1) * dtype.block_len();
            let tensor = random_tensor(dtype, 49, columns, &mut random);
            for tokens in [1, 5, 17, 70] {
                let input = random_rows(tokens, columns, &mut random);
                assert!(compute.set_tuning(usual));
                let expected = run(&compute, &tensor, &input, Way::Bytes);
                for tuning in others {
                    assert!(compute.set_tuning(tuning), "{tuning:?}");
                    let found = run(&compute, &tensor, &input, Way::Bytes);
                    assert_eq!(expected, found, "{:?} {dtype} {tuning:?}", kernels.isa());
                }
            }
        }
    }
}

/// The precise path is a plain product with the dequantized weight; the rounded ones are near it.
#[test]
fn all_paths_multiply() {
    let mut random = Random::new(2);
    for kernels in Kernels::under_test().unwrap() {
        let compute = compute(kernels);
        for dtype in DType::ALL {
            let tensor = random_tensor(dtype, 24, 512, &mut random);
            let input = random_rows(5, 512, &mut random);
            let expected = input.dot(&tensor.to_array().unwrap().t());
            let bounds = magnitudes(&tensor, &input);
            // A product of bf16 is off by two halves of 2^-8.
            let ways = [
                (Way::Precise, 1e-5),
                (Way::Bytes, 1.0 / 127.0),
                (Way::Bf16, 1.0 / 254.0),
            ];
            for (way, tolerance) in ways {
                let found = run(&compute, &tensor, &input, way);
                for ((at, expected), found) in expected.indexed_iter().zip(&found) {
                    let bound = tolerance * bounds[at];
                    assert!(
                        (expected - found).abs() <= bound,
                        "{dtype} {expected} {found}"
                    );
                }
            }
        }
    }
}

/// Codes of every set are the scalar ones to the bit, ties and zero rows included.
#[test]
fn quantized_rows_are_the_same_on_every_set() {
    let scalar = compute(Kernels::for_isa(Isa::Scalar).unwrap());
    let mut random = Random::new(3);
    let mut input = random_rows(40, 96, &mut random);
    input.row_mut(3).fill(0.0);
    for (k, x) in input.row_mut(4).iter_mut().enumerate() {
        *x = if k == 0 { 127.0 } else { k as f32 + 0.5 };
    }
    let mut expected = QuantizedRows::new();
    expected.fill(&scalar, input.view());
    for kernels in Kernels::under_test().unwrap() {
        let mut found = QuantizedRows::new();
        found.fill(&compute(kernels), input.view());
        for token in 0..40 {
            assert_eq!(expected.row(token), found.row(token));
        }
    }
}

/// Extreme codes meet extreme inputs without overflow.
#[test]
fn the_largest_codes_do_not_overflow() {
    for kernels in Kernels::under_test().unwrap() {
        let compute = compute(kernels);
        for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_quantized()) {
            let mut random = Random::new(4);
            let columns = dtype.block_len().max(64);
            let tensor = random_tensor(dtype, 8, columns, &mut random);
            for fill in [0x00, 0x7f, 0x80, 0xff] {
                let mut bytes = tensor.storage().as_slice().to_vec();
                let head = random_tensor(dtype, 8, columns, &mut random);
                for (block, head) in bytes
                    .chunks_exact_mut(dtype.block_bytes())
                    .zip(head.storage().as_slice().chunks_exact(dtype.block_bytes()))
                {
                    let codes = crate::packed::codes_of(dtype);
                    block.copy_from_slice(head);
                    block[codes].fill(fill);
                }
                let storage = dino_core::Storage::from_vec(bytes);
                let tensor = Tensor::new("full", dtype, &[8, columns], storage).unwrap();
                let input = Array2::from_elem((4, columns), 1.0);
                let expected = input.dot(&tensor.to_array().unwrap().t());
                let bounds = magnitudes(&tensor, &input);
                let found = run(&compute, &tensor, &input, Way::Bytes);
                for ((at, expected), found) in expected.indexed_iter().zip(&found) {
                    let bound = 1e-4 * bounds[at] + 1e-5;
                    assert!(
                        (expected - found).abs() <= bound,
                        "{dtype} {fill:x} {expected} {found}"
                    );
                }
            }
        }
    }
}

/// Bias is added, results add to what is there, and several layers share one region.
#[test]
fn layers_share_an_input_and_add_up() {
    let compute = compute(Kernels::best());
    let mut random = Random::new(5);
    let input = random_rows(6, 64, &mut random);
    let tensors = [20, 9].map(|rows| random_tensor(DType::Q8_0, rows, 64, &mut random));
    let weights = tensors.each_ref().map(|t| {
        PackedWeight::pack(t, compute.kernels.lanes(), &compute.pool, &mut Arena::new()).unwrap()
    });
    let bias = random.values(9);
    let mut first = Array2::from_elem((6, 20), 1.0);
    let mut second = Array2::from_elem((6, 9), 0.0);
    let layers = [
        Linear::add(&weights[0], None, first.view_mut()),
        Linear::store(&weights[1], Some(&bias), second.view_mut()),
    ];
    linear(&compute, LinearInput::precise(input.view()), &layers);
    let plain = run(&compute, &tensors[0], &input, Way::Precise);
    assert_eq!(first, plain + 1.0);
    let plain = run(&compute, &tensors[1], &input, Way::Precise);
    for ((at, found), plain) in second.indexed_iter().zip(&plain) {
        assert_eq!(*found, plain + bias[at.1]);
    }
}

/// Results of the second half of the rows are added to those of the first.
#[test]
fn folded_results_are_sums() {
    let mut random = Random::new(7);
    let bias = random.values(40);
    for kernels in Kernels::under_test().unwrap() {
        let compute = compute(kernels);
        for (dtype, rows) in [(DType::Q8_0, 3), (DType::Q4_K, 40), (DType::F32, 2)] {
            let input = random_rows(2 * rows, 256, &mut random);
            let tensor = random_tensor(dtype, 40, 256, &mut random);
            let lanes = compute.kernels.lanes();
            let weight =
                PackedWeight::pack(&tensor, lanes, &compute.pool, &mut Arena::new()).unwrap();
            let mut quantized = QuantizedRows::new();
            quantized.fill(&compute, input.view());
            let mut found = Array2::from_elem((rows, 40), f32::NAN);
            let layer = Linear::store_folded(&weight, Some(&bias), found.view_mut());
            linear(
                &compute,
                LinearInput::quantized(input.view(), &quantized),
                &[layer],
            );
            let all = run(&compute, &tensor, &input, Way::Bytes);
            for ((at, found), first) in found.indexed_iter().zip(&all) {
                let expected = first + all[[at.0 + rows, at.1]] + bias[at.1];
                assert_eq!(*found, expected, "{:?} {dtype} {at:?}", kernels.isa());
            }
        }
    }
}
