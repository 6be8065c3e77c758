//! The errors of this crate.

use dino_core::DType;

/// Why values could not be encoded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// The format can be read but not written.
    #[error(
        "there is no encoder for {0}: choose a type for which can_encode() is true, such as Q8_0"
    )]
    NoEncoder(DType),
    /// A row is not a whole number of blocks.
    #[error(
        "a row of {columns} values cannot be stored as {dtype}, whose blocks hold {block} values each"
    )]
    RaggedRow {
        /// Values in a row.
        columns: usize,
        /// The type asked for.
        dtype: DType,
        /// Values in a block of that type.
        block: usize,
    },
    /// Importance of another number of columns.
    #[error(
        "the importance has {found} values, the tensor {columns} columns: it is another model's"
    )]
    Importance {
        /// Values in a row.
        columns: usize,
        /// Values of the importance.
        found: usize,
    },
    /// What is important has to be known, and is not.
    #[error(
        "what its input looks like is not known: calibrate by a text that reaches it, or prune by magnitude"
    )]
    NoImportance,
    /// A value is infinite or not a number, which no block can hold: the weights are damaged.
    #[error(
        "row {row}, column {column}: {value} is not a finite number, the source weights are damaged"
    )]
    NotFinite {
        /// Row of the value.
        row: usize,
        /// Its place in the row.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A value, or the scale that its block would need, is beyond the largest number of the format.
    #[error(
        "row {row}, column {column}: {value} is too large for {dtype}, keep this tensor as BF16 or F32"
    )]
    TooLarge {
        /// Row of the value.
        row: usize,
        /// Its place in the row.
        column: usize,
        /// The value of largest magnitude in its block.
        value: f32,
        /// The type asked for.
        dtype: DType,
    },
}

impl QuantError {
    /// The same error of another row; encoders of a row call theirs row 0.
    pub(crate) fn in_row(mut self, index: usize) -> Self {
        if let Self::NotFinite { row, .. } | Self::TooLarge { row, .. } = &mut self {
            *row = index;
        }
        self
    }
}
