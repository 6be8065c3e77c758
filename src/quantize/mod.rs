//! Files made smaller: a model file in, a plan or a size, a GGUF file out.
//!
//! ```
//! use dino_llm::dino_models::format::ModelFile;
//! use dino_llm::dino_quant::plan::{Preset, Rules};
//! use dino_llm::quantize::{Calibrator, FileQuantizer, Scaling, ScalingSource, tensor_facts};
//! use dino_llm::{CancelToken, Model};
//!
//! # let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny/gqa.gguf");
//! # let folder = tempfile::tempdir()?;
//! # let out = folder.path().join("small.gguf");
//! # let text = "The sea was calm and the sky was wide. ".repeat(40);
//! // The model reads a text, to find out which weights matter: pieces of 64 tokens, four at most.
//! let mut calibrator = Calibrator::new(Model::builder(), ModelFile::open(model)?, 64)?;
//! calibrator.read("text.txt".as_ref(), &text, 4, |_, _| {})?;
//! let calibration = calibrator.finish();
//!
//! // A mixture of types, and what cannot be stored as it says.
//! let file = ModelFile::open(model)?;
//! let (plan, fallbacks) = Rules::new(Preset::Q4_K_M).plan(&tensor_facts(&file));
//!
//! // Channels scaled where that helps (optional), and the file.
//! let source = ScalingSource {
//!     file: &file,
//!     plan: &plan,
//!     calibration: &calibration,
//!     hessians: None,
//!     feedback: false,
//!     pruning: None,
//!     cancel: CancelToken::new(),
//! };
//! let scaling = Scaling::find(source, |done, all| println!("{done} of {all}"))?;
//! let quantizer = FileQuantizer::new(&file, &plan).calibration(&calibration).scaling(&scaling);
//! let report = quantizer.write(&out)?;
//! println!("{:.2} bits a weight, {} tensors fell back", report.bits_per_weight(), fallbacks.len());
//! # assert!(report.bytes() < report.bytes_before());
//! # Model::load(&out)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Encoders and plans are [`dino_quant`]'s, files [`dino_models`]'s; here they meet.
//! [`Calibrator`] runs a text through a model to find out which weights matter, [`read_imatrix`] takes what llama.cpp found
//! out, and [`Sensitivity`] measures which tensors matter, for the best plan of a size. [`Cut`] takes out the layers, channels and
//! heads that matter least. [`Hessians`] let rounding errors be fed back, [`Scaling`] makes columns finer that matter most, and
//! [`calibrate_int8`] finds how activations are rounded for int8 layers.

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
