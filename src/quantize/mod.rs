//! Files made smaller: a model file in, a plan or a size, a GGUF file out.
//!
//! ```no_run
//! use dino_llm::dino_models::format::ModelFile;
//! use dino_llm::dino_quant::plan::{Preset, Rules};
//! use dino_llm::quantize::{FileQuantizer, tensor_facts};
//!
//! let file = ModelFile::open("model-f16.gguf")?;
//! let (plan, fallbacks) = Rules::new(Preset::Q4_K_M).plan(&tensor_facts(&file));
//! let report = FileQuantizer::new(&file, &plan).write("model-q4_k_m.gguf")?;
//! println!("{:.2} bits a weight, {} tensors fell back", report.bits_per_weight(), fallbacks.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Encoders and plans are [`dino_quant`]'s, files [`dino_models`]'s; here they meet.
//! [`Calibrator`] runs a text through a model to find out which weights matter, [`read_imatrix`] takes what llama.cpp found
//! out, and [`Sensitivity`] measures which tensors matter, for the best plan of a size. [`Cut`] takes out the layers, channels and
//! heads that matter least. [`Hessians`] let rounding errors be fed back, and [`calibrate_int8`] finds static ranges for int8
//! layers.

mod calibrate;
mod cut;
mod error;
mod file;
mod hessians;
mod imatrix;
mod int8;
mod report;
mod scaling;
mod sensitivity;
mod source;

pub use calibrate::Calibrator;
pub use cut::{Cut, CutError};
pub use error::QuantizeError;
pub use file::{FileQuantizer, Progress, tensor_facts};
pub use hessians::{HessianOptions, Hessians};
pub use imatrix::{read_imatrix, write_imatrix};
pub use int8::{Int8Options, Int8Ranges, calibrate_int8, int8_mode, read_int8};
pub use report::{Report, TensorReport};
pub use scaling::{FoundScales, Scaling, ScalingSource};
pub use sensitivity::{Sensitivity, SensitivityOptions};
