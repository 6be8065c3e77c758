//! Weights without zeros of every instruction set: what dense ones give, to the bit.

use super::{Linear, LinearInput, linear};
use crate::packed::{PackedWeight, Packing};
use crate::testing::{Random, random_tensor};
use crate::{Compute, Kernels, QuantizedRows, ThreadPool};
use dino_core::storage::Arena;
use dino_core::{DType, Storage, Tensor};
use ndarray::Array2;

const TYPES: [DType; 2] = [DType::Q8_0, DType::Q4_0];

/// The sets whose registers hold as many rows as are packed without zeros; plain code is always one of them.
fn sets() -> Vec<&'static Kernels> {
    let mut sets = Kernels::under_test().unwrap();
    sets.retain(|kernels| matches!(kernels.lanes(), 8 | 16));
    assert!(!sets.is_empty());
    sets
}

fn compute(kernels: &'static Kernels) -> Compute {
    Compute::of(kernels, ThreadPool::new(2).unwrap())
}

/// A random matrix of which about `density` of the codes are not zero.
fn thinned(dtype: DType, shape: [usize; 2], density: f32, random: &mut Random) -> Tensor {
    let tensor = random_tensor(dtype, shape[0], shape[1], random);
    let mut bytes = tensor.storage().as_slice().to_vec();
    let mut drops = || (random.value() + 1.0) / 2.0 >= density;
    for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
        for code in &mut block[2..] {
            match dtype {
                DType::Q8_0 if drops() => *code = 0,
                DType::Q4_0 => {
                    for (mask, zero) in [(0xf0, 0x08), (0x0f, 0x80)] {
                        *code = if drops() { *code & mask | zero } else { *code };
                    }
                }
                _ => {}
            }
        }
    }
    Tensor::new("thin", dtype, &shape, Storage::from_vec(bytes)).unwrap()
}

fn packed(compute: &Compute, tensor: &Tensor, sparse: bool) -> PackedWeight {
    let (lanes, mut arena) = (compute.kernels.lanes(), Arena::new());
    if sparse {
        PackedWeight::pack_sparse(tensor, lanes, &compute.pool, &mut arena).unwrap()
    } else {
        PackedWeight::pack(tensor, lanes, &compute.pool, &mut arena).unwrap()
    }
}

fn run(
    compute: &Compute,
    weight: &PackedWeight,
    input: &Array2<f32>,
    precise: bool,
) -> Array2<f32> {
    let mut output = Array2::from_elem((input.nrows(), weight.rows()), f32::NAN);
    let mut quantized = QuantizedRows::new();
    let rows = if precise {
        LinearInput::precise(input.view())
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

/// Every set, type and number of rows and tokens, with no zeros, some, many, and nothing else.
#[test]
fn results_are_those_of_dense_weights() {
    let mut random = Random::new(11);
    for kernels in sets() {
        let compute = compute(kernels);
        for dtype in TYPES {
            for density in [0.0, 0.05, 0.3, 0.5, 0.8, 1.0] {
                for (rows, columns) in [(1, 32), (16, 64), (17, 96), (40, 2080), (5, 352)] {
                    let tensor = thinned(dtype, [rows, columns], density, &mut random);
                    let sparse = packed(&compute, &tensor, true);
                    let dense = packed(&compute, &tensor, false);
                    assert!(sparse.is_sparse() && !dense.is_sparse());
                    for tokens in [1, 2, 3, 4, 5, 7, 24, 33] {
                        let input = Array2::from_shape_fn((tokens, columns), |_| random.value());
                        for precise in [false, true] {
                            let expected = run(&compute, &dense, &input, precise);
                            let found = run(&compute, &sparse, &input, precise);
                            assert_eq!(
                                found,
                                expected,
                                "{:?} {dtype} {rows}×{columns}, {tokens} tokens, density {density}",
                                kernels.isa()
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Rows are read one by one where the head serves as the embedding, too.
#[test]
fn rows_are_those_of_dense_weights() {
    let mut random = Random::new(12);
    for kernels in sets() {
        let compute = compute(kernels);
        for dtype in TYPES {
            let tensor = thinned(dtype, [19, 64], 0.5, &mut random);
            let [sparse, dense] = [true, false].map(|sparse| packed(&compute, &tensor, sparse));
            let (mut found, mut expected) = ([0.0; 64], [0.0; 64]);
            for row in 0..19 {
                sparse.unpack_row(row, &mut found);
                dense.unpack_row(row, &mut expected);
                assert_eq!(found, expected);
            }
        }
    }
}

/// Bytes that were kept are taken back, and no others.
#[test]
fn packed_bytes_are_known_again() {
    let compute = compute(sets()[0]);
    let mut random = Random::new(13);
    for dtype in TYPES {
        let tensor = thinned(dtype, [37, 128], 0.4, &mut random);
        let weight = packed(&compute, &tensor, true);
        let again = |rows: usize, columns: usize, storage: Storage| {
            let kind = (dtype, Packing::Stored);
            PackedWeight::from_packed("thin", kind, [rows, columns], weight.lanes(), storage)
        };
        let back = again(37, 128, weight.storage().clone()).unwrap();
        assert!(back.is_sparse());
        let input = Array2::from_shape_fn((2, 128), |_| random.value());
        assert_eq!(
            run(&compute, &back, &input, false),
            run(&compute, &weight, &input, false)
        );
        assert!(again(37, 96, weight.storage().clone()).is_ok_and(|w| w.is_sparse()));
        assert!(again(100, 128, weight.storage().clone()).is_err());
        assert!(
            again(
                37,
                128,
                weight.storage().slice(0, weight.byte_size() - 64).unwrap()
            )
            .is_err()
        );
        for at in [0, 8, 16] {
            let mut bytes = dino_core::storage::AlignedBytes::zeroed(weight.byte_size());
            bytes
                .as_mut_slice()
                .copy_from_slice(weight.storage().as_slice());
            bytes.as_mut_slice()[at + 5] = 0x7f;
            assert!(again(37, 128, Storage::from_aligned(bytes)).is_err());
        }
    }
}

/// A weight is packed without its zeros only if it has many, and only if they are zeros exactly.
#[test]
fn zeros_are_left_out_where_that_is_faster() {
    let mut random = Random::new(14);
    for kernels in Kernels::under_test().unwrap() {
        let compute = compute(kernels);
        for dtype in DType::ALL {
            let tensor = random_tensor(dtype, 40, 256, &mut random);
            let weight = PackedWeight::pack_for(&tensor, &compute, &mut Arena::new()).unwrap();
            assert!(!weight.is_sparse(), "{:?} {dtype}", kernels.isa());
        }
        for dtype in TYPES {
            let tensor = thinned(dtype, [40, 256], 0.2, &mut random);
            let weight = PackedWeight::pack_for(&tensor, &compute, &mut Arena::new()).unwrap();
            assert_eq!(weight.is_sparse(), kernels.sparse_pays(dtype, 0.2));
            let dense = packed(&compute, &tensor, false).byte_size();
            assert!(!weight.is_sparse() || weight.byte_size() < dense);
        }
    }
}
