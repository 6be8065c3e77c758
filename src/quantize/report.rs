//! What became of a file.

use dino_core::DType;
use dino_quant::Loss;
use dino_quant::feedback::Method;

/// What became of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// Its dimensions, rows first.
    pub shape: Vec<usize>,
    /// The type that it had.
    pub from: DType,
    /// The type that it has.
    pub to: DType,
    /// Bytes that it had.
    pub bytes_before: u64,
    /// Bytes that it has.
    pub bytes: u64,
    /// What was lost; `None` if it was copied.
    pub loss: Option<Loss>,
    /// Whether it was encoded by what is important.
    pub weighted: bool,
    /// Whether weights of it were zeroed; what that lost is not part of `loss`.
    pub pruned: bool,
    /// Whether its columns were multiplied by factors, and what they read was divided by them.
    pub scaled: bool,
    /// How its codes were chosen.
    pub method: Method,
    /// Whether its zeros were left out.
    pub sparse: bool,
}

/// What became of the tensors of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Each tensor, in the order of the file.
    pub tensors: Vec<TensorReport>,
}

impl Report {
    /// Weights in all.
    pub fn weights(&self) -> u64 {
        let values =
            |tensor: &TensorReport| tensor.shape.iter().map(|&n| n as u64).product::<u64>();
        self.tensors.iter().map(values).sum()
    }

    /// Bytes that the tensors had.
    pub fn bytes_before(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes_before).sum()
    }

    /// Bytes that they have.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes).sum()
    }

    /// Bits that a weight takes on average.
    pub fn bits_per_weight(&self) -> f64 {
        8.0 * self.bytes() as f64 / self.weights().max(1) as f64
    }

    /// Tensors that were quantized already and are quantized again: their errors add up.
    pub fn requantized(&self) -> impl Iterator<Item = &TensorReport> {
        let again = |tensor: &&TensorReport| {
            tensor.from.is_quantized() && tensor.to.is_quantized() && tensor.from != tensor.to
        };
        self.tensors.iter().filter(again)
    }
}
