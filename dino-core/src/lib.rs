//! What a weight is: data types, block formats, storage and tensors.
//!
//! This crate knows how numbers are *stored*; it computes nothing but the definition of each format
//! ([`blocks`], one scalar `dequantize` each), against which every fast kernel is tested.
//!
//! ```
//! use dino_core::{DType, Storage, Tensor};
//!
//! let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
//! let tensor = Tensor::new("example", DType::F32, &[2, 2], Storage::from_vec(bytes))?;
//! assert_eq!(tensor.to_array()?[[1, 0]], 3.0);
//! # Ok::<(), dino_core::CoreError>(())
//! ```

#![deny(unsafe_code)]

pub mod blocks;
pub mod cast;
mod dtype;
mod error;
mod observe;
mod requantize;
mod sparse;
pub mod storage;
mod tensor;

pub use dtype::DType;
pub use error::CoreError;
pub use observe::{Observe, WeightPlace};
pub use requantize::Requantize;
pub use sparse::SparseTensor;
pub use storage::Storage;
pub use tensor::Tensor;
