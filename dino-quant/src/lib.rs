//! How weights get small: encoders that turn f32 values into the block formats of [`dino_core::blocks`].
//!
//! [`quantize`] encodes a matrix, [`encode_tensor`] a stored tensor; [`BlockRequantizer`] re-encodes the weights of a model
//! while it loads. [`calibration`] watches a model to find out what is important; [`plan`] says which tensor gets which type;
//! [`prune`] says what can go altogether; [`feedback`] and [`scaling`] do better than rounding where inputs are known.
//!
//! ```
//! use dino_core::{DType, blocks};
//! use dino_quant::quantize;
//!
//! let weights: Vec<f32> = (0..128).map(|i| (i as f32 * 0.1).sin()).collect();
//! let stored = quantize(DType::Q8_0, 64, &weights, None)?; // 2 rows of 64 values
//! assert_eq!(stored.len(), 2 * DType::Q8_0.row_bytes(64).unwrap());
//!
//! let mut values = vec![0.0; 128];
//! blocks::dequantize(DType::Q8_0, &stored, &mut values);
//! let largest_error = weights.iter().zip(&values).map(|(w, v)| (w - v).abs()).fold(0.0, f32::max);
//! assert!(largest_error < 0.5 / 127.0 + 0.001);
//!
//! // What cannot be stored is refused by its place.
//! let error = quantize(DType::F16, 64, &[1e6; 64], None).unwrap_err();
//! assert!(error.to_string().starts_with("row 0, column 0: 1000000 is too large for F16"));
//! # Ok::<(), dino_quant::QuantError>(())
//! ```

#![forbid(unsafe_code)]

pub mod calibration;
mod encode;
mod error;
mod fallback;
pub mod feedback;
pub mod plan;
pub mod prune;
mod quantize;
mod requantizer;
pub mod scaling;
mod smooth;
mod tensor;

pub use error::QuantError;
pub use fallback::storable;
pub use quantize::{can_encode, quantize, quantize_row};
pub use requantizer::BlockRequantizer;
pub use smooth::{column_magnitudes, smoothing_factors};
pub use tensor::{Encoded, Loss, check_finite, encode_tensor, estimate_loss};
