//! What can be wrong with a model file.

use dino_core::CoreError;
use std::path::{Path, PathBuf};

/// What can be wrong with a model file, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "the message of each variant says what its fields are"
)]
pub enum FormatError {
    /// The file cannot be opened or mapped; the source names it.
    #[error(transparent)]
    Open(CoreError),

    /// The first bytes are those of no format that is known here.
    #[error(
        "{}: not a model file: it starts with {found:02x?}, a GGUF file starts with \"GGUF\"",
        file.display()
    )]
    UnknownFormat { file: PathBuf, found: Vec<u8> },

    /// A known kind of file that is not read here.
    #[error("{}: this is {what}, which is not read here: {advice}", file.display())]
    Unsupported {
        file: PathBuf,
        what: &'static str,
        advice: &'static str,
    },

    /// A GGUF version other than 2 and 3.
    #[error(
        "{}: GGUF version {found} is not read here (2 and 3 are): convert the model again with a current \
         convert_hf_to_gguf.py",
        file.display()
    )]
    Version { file: PathBuf, found: u32 },

    /// The file ends inside something.
    #[error(
        "{}: the file ends inside {reading}: {needed} bytes needed at offset {offset}, {left} left; \
         it is damaged or was not downloaded completely",
        file.display()
    )]
    Truncated {
        file: PathBuf,
        reading: String,
        offset: usize,
        needed: u64,
        left: usize,
    },

    /// A count or length beyond what the rest of the file can hold, or beyond the limit of this reader.
    #[error(
        "{}: {reading} at offset {offset} claims {claimed} {unit}, at most {possible} are possible; \
         the file is damaged",
        file.display()
    )]
    TooMany {
        file: PathBuf,
        reading: String,
        offset: usize,
        claimed: u64,
        unit: &'static str,
        possible: usize,
    },

    /// A string that must be text is not UTF-8.
    #[error("{}: {reading} at offset {offset} is not UTF-8; the file is damaged", file.display())]
    NotUtf8 {
        file: PathBuf,
        reading: String,
        offset: usize,
    },

    /// A metadata type number that GGUF does not define.
    #[error(
        "{}: {reading} at offset {offset} has the value type {found}, GGUF defines 0 to 12; the file is damaged",
        file.display()
    )]
    UnknownValueType {
        file: PathBuf,
        reading: String,
        offset: usize,
        found: u32,
    },

    /// A boolean that is neither 0 nor 1.
    #[error("{}: {reading} at offset {offset} is a bool of value {found}; the file is damaged", file.display())]
    BadBool {
        file: PathBuf,
        reading: String,
        offset: usize,
        found: u8,
    },

    /// Arrays inside arrays inside arrays.
    #[error("{}: {reading}: arrays are nested deeper than {limit}, at offset {offset}", file.display())]
    NestedTooDeep {
        file: PathBuf,
        reading: String,
        offset: usize,
        limit: usize,
    },

    /// A key that appears twice.
    #[error("{}: the key `{key}` appears twice; the file is damaged", file.display())]
    DuplicateKey { file: PathBuf, key: String },

    /// A key that must be there.
    #[error("{}: the key `{key}` is missing{}", file.display(), again(file))]
    MissingKey { file: PathBuf, key: String },

    /// A value that is not of the type asked for, or does not fit in it.
    #[error("{}: the key `{key}` holds {found}, expected {expected}", file.display())]
    WrongType {
        file: PathBuf,
        key: String,
        expected: String,
        found: String,
    },

    /// An array with another number of elements than needed.
    #[error("{}: the key `{key}` holds {found} elements, expected {expected}", file.display())]
    WrongLength {
        file: PathBuf,
        key: String,
        expected: usize,
        found: usize,
    },

    /// An alignment that is not a power of two.
    #[error("{}: general.alignment is {found}, it must be a power of two; the file is damaged", file.display())]
    BadAlignment { file: PathBuf, found: usize },

    /// A tensor type that is not read here.
    #[error(
        "{}: tensor `{tensor}` has type {number} ({}), which is not read here: take a file of another \
         quantization, such as Q4_K_M or Q8_0", file.display(), name.unwrap_or("unknown")
    )]
    UnknownTensorType {
        file: PathBuf,
        tensor: String,
        number: u32,
        name: Option<&'static str>,
    },

    /// A number of dimensions other than 1 to 4.
    #[error("{}: tensor `{tensor}` has {found} dimensions, 1 to 4 are possible; the file is damaged", file.display())]
    BadRank {
        file: PathBuf,
        tensor: String,
        found: u32,
    },

    /// A dimension that is zero or does not fit in memory.
    #[error(
        "{}: tensor `{tensor}` has a dimension of {found}; the file is damaged", file.display()
    )]
    BadDimension {
        file: PathBuf,
        tensor: String,
        found: u64,
    },

    /// A tensor whose shape, type and bytes do not go together; the source names it.
    #[error("{}: {source}", file.display())]
    Tensor { file: PathBuf, source: CoreError },

    /// Tensor data that does not start on the file's alignment.
    #[error(
        "{}: the data of tensor `{tensor}` starts at {offset}, not a multiple of the alignment {alignment}; \
         the file is damaged",
        file.display()
    )]
    Misaligned {
        file: PathBuf,
        tensor: String,
        offset: u64,
        alignment: usize,
    },

    /// Tensor data beyond the end of the file.
    #[error(
        "{}: tensor `{tensor}` needs {needed} bytes from offset {offset} of the data section, which has {available}; \
         the file is damaged or was not downloaded completely",
        file.display()
    )]
    OutsideFile {
        file: PathBuf,
        tensor: String,
        offset: u64,
        needed: usize,
        available: usize,
    },

    /// Two tensors that claim the same bytes.
    #[error(
        "{}: the tensors `{first}` and `{second}` overlap at offset {offset} of the data section; the file is damaged",
        file.display()
    )]
    Overlap {
        file: PathBuf,
        first: String,
        second: String,
        offset: u64,
    },

    /// Two tensors of one name.
    #[error("{}: the tensor `{tensor}` appears twice; the file is damaged", file.display())]
    DuplicateTensor { file: PathBuf, tensor: String },

    /// A tensor that must be there.
    #[error(
        "{}: the tensor `{tensor}` is missing{}", file.display(),
        similar.as_ref().map_or(String::new(), |name| format!("; the file has a `{name}`"))
    )]
    MissingTensor {
        file: PathBuf,
        tensor: String,
        similar: Option<String>,
    },

    /// A tensor of another shape than the hyperparameters call for.
    #[error("{}: tensor `{tensor}` has shape {found:?}, expected {expected:?} (rows first)", file.display())]
    ShapeMismatch {
        file: PathBuf,
        tensor: String,
        expected: Vec<usize>,
        found: Vec<usize>,
    },

    /// A JSON file, or the JSON header of a safetensors file, that is not what it must be.
    #[error("{}: the JSON in it cannot be read: {source}", file.display())]
    Header {
        file: PathBuf,
        source: serde_json::Error,
    },

    /// A safetensors type that is not read here.
    #[error(
        "{}: tensor `{tensor}` has type {found}, which is not read here (F32, F16 and BF16 are): take a folder of \
         the model in one of these, or a .gguf file", file.display()
    )]
    UnreadType {
        file: PathBuf,
        tensor: String,
        found: String,
    },

    /// A folder without what a model needs.
    #[error("{}: the folder has no {wanted}: {advice}", folder.display())]
    Lacking {
        folder: PathBuf,
        wanted: &'static str,
        advice: &'static str,
    },

    /// Tensors that cannot be turned into what the model has in their place.
    #[error("{}: tensor `{tensor}` has {found}, expected {expected}", file.display())]
    Unfit {
        file: PathBuf,
        tensor: String,
        found: String,
        expected: String,
    },

    /// A later part of a split file was opened.
    #[error(
        "{}: this is part {} of {count} of a split model: open the first part, {}",
        file.display(), number + 1, first.display()
    )]
    NotFirstPart {
        file: PathBuf,
        number: usize,
        count: usize,
        first: PathBuf,
    },

    /// A first part whose name does not say what the others are called.
    #[error(
        "{}: the first of {count} parts of a split model, but its name does not end in `-00001-of-{count:05}.gguf`: \
         give the parts their original names back",
        file.display()
    )]
    PartName { file: PathBuf, count: usize },

    /// Parts of a split file that are not beside the first one.
    #[error(
        "{}: {} of {count} parts of this split model are missing beside it, such as {}",
        file.display(), missing.len(), missing.first().map_or(Path::new(""), PathBuf::as_path).display()
    )]
    MissingParts {
        file: PathBuf,
        count: usize,
        missing: Vec<PathBuf>,
    },

    /// A part that belongs to another split, or too few or many tensors in all parts together.
    #[error("{}: `{key}` is {expected} in a split model of these parts, found {found}: the parts do not belong together", file.display())]
    PartMismatch {
        file: PathBuf,
        key: &'static str,
        expected: usize,
        found: usize,
    },

    /// The file cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Write {
        file: PathBuf,
        source: std::io::Error,
    },

    /// More or fewer tensors or bytes were written than were announced.
    #[error("cannot finish {}: {expected} bytes announced for {writing}, {found} given", file.display())]
    WriteMismatch {
        file: PathBuf,
        writing: String,
        expected: usize,
        found: usize,
    },
}

/// What to do about a key that a converter did not write.
fn again(file: &Path) -> &'static str {
    match file.extension() {
        Some(extension) if extension == "json" => "",
        _ => "; convert the model again with a current converter",
    }
}
