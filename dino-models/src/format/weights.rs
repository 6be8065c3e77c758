//! The tensors of a file under their names.

use super::FormatError;
use super::derived::{Derived, Join, Step, are_whole_blocks};
use super::names::Origins;
use super::piece::Piece;
use dino_core::{DType, SparseTensor, Storage, Tensor};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tensors under their names, in the order of the file, that remember which of them were asked for.
///
/// A tensor is a view of the file's bytes, or is made of others when it is asked for, and each time anew.
#[derive(Debug)]
pub struct Weights {
    file: PathBuf,
    entries: IndexMap<String, Entry>,
    origins: Origins,
}

#[derive(Debug)]
struct Entry {
    source: Source,
    read: AtomicBool,
}

#[derive(Debug)]
enum Source {
    Stored(Tensor),
    Derived(Derived),
    /// Has its zeros only when it is asked for.
    Sparse(SparseTensor),
}

/// A tensor of the file that another one is or is made of.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) dtype: DType,
    pub(crate) shape: &'a [usize],
    pub(crate) storage: &'a Storage,
}

/// What a tensor is, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its stored type.
    pub dtype: DType,
    /// Its dimensions, rows first.
    pub shape: Vec<usize>,
}

/// What stays of a tensor when a model is made smaller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptPart {
    /// Its name from then on.
    pub name: String,
    /// The rows of each of its matrices, or the elements of a vector; `None` for all.
    pub rows: Option<Arc<[usize]>>,
    /// The columns; `None` for all. Where they are no whole blocks of a quantized tensor, its values become F32.
    pub columns: Option<Arc<[usize]>>,
}

impl TensorInfo {
    /// Values in all.
    pub fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes in all; 0 if they cannot be counted.
    pub fn bytes(&self) -> usize {
        Tensor::byte_size(&self.name, self.dtype, &self.shape).unwrap_or(0)
    }
}

impl Weights {
    /// No tensors yet. Errors will name `file`.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            entries: IndexMap::new(),
            origins: Origins::default(),
        }
    }

    /// Adds a tensor under its name.
    ///
    /// # Errors
    /// [`FormatError::DuplicateTensor`] if there is one of that name.
    pub fn insert(&mut self, tensor: Tensor) -> Result<(), FormatError> {
        self.add(tensor.name().into(), Source::Stored(tensor))
    }

    /// Adds a tensor that is stored without its zeros.
    ///
    /// # Errors
    /// [`FormatError::DuplicateTensor`] if there is one of that name.
    pub fn insert_sparse(&mut self, tensor: SparseTensor) -> Result<(), FormatError> {
        self.add(tensor.name().into(), Source::Sparse(tensor))
    }

    /// Adds the tensor `name` that is to be made of `parts` when it is asked for.
    ///
    /// # Errors
    /// [`FormatError::DuplicateTensor`]; [`FormatError::Unfit`] if the parts or the steps do not fit.
    pub(crate) fn derive(
        &mut self,
        name: &str,
        parts: Vec<Piece>,
        join: Join,
        steps: Vec<Step>,
    ) -> Result<(), FormatError> {
        let derived = Derived::new(&self.file, name, parts, join, steps)?;
        self.add(name.into(), Source::Derived(derived))
    }

    /// Takes a tensor out.
    pub(crate) fn remove(&mut self, name: &str) {
        self.entries.shift_remove(name);
    }

    /// Makes the model smaller: keeps what `keep` says of each tensor, and drops those of which it says nothing. No tensor
    /// is made before it is asked for.
    ///
    /// # Errors
    /// [`FormatError::Unfit`] if a tensor has no such rows or columns; [`FormatError::DuplicateTensor`] for two of one
    /// name.
    pub fn keep_parts(
        &mut self,
        mut keep: impl FnMut(&TensorInfo) -> Option<KeptPart>,
    ) -> Result<(), FormatError> {
        for entry in std::mem::take(&mut self.entries).into_values() {
            let info = entry.source.info();
            if let Some(part) = keep(&info) {
                let source = entry.source.part(&self.file, &info, &part)?;
                self.add(part.name, source)?;
            }
        }
        Ok(())
    }

    /// Lets errors call tensors by the names that the file gives them.
    pub(crate) fn set_origins(&mut self, origins: Origins) {
        self.origins = origins;
    }

    fn add(&mut self, name: String, source: Source) -> Result<(), FormatError> {
        if self.entries.contains_key(&name) {
            return Err(FormatError::DuplicateTensor {
                file: self.file.clone(),
                tensor: self.told(&name),
            });
        }
        let read = AtomicBool::new(false);
        self.entries.insert(name, Entry { source, read });
        Ok(())
    }

    /// The file that errors name.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The tensor with this name.
    ///
    /// # Errors
    /// [`FormatError::MissingTensor`], which tells of a similar name if there is one.
    pub fn get(&self, name: &str) -> Result<Tensor, FormatError> {
        self.maybe(name).ok_or_else(|| self.missing(name))
    }

    /// The tensor with this name, if there is one.
    pub fn maybe(&self, name: &str) -> Option<Tensor> {
        let entry = self.entries.get(name)?;
        entry.read.store(true, Ordering::Relaxed);
        Some(entry.source.tensor())
    }

    /// The tensor with this name, which must have `shape` (rows first).
    ///
    /// # Errors
    /// [`FormatError::MissingTensor`]; [`FormatError::ShapeMismatch`].
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<Tensor, FormatError> {
        let tensor = self.maybe_expect(name, shape)?;
        tensor.ok_or_else(|| self.missing(name))
    }

    /// The tensor with this name, if there is one; it must have `shape` (rows first) then.
    ///
    /// # Errors
    /// [`FormatError::ShapeMismatch`].
    pub fn maybe_expect(&self, name: &str, shape: &[usize]) -> Result<Option<Tensor>, FormatError> {
        match self.entries.get(name).map(|entry| entry.source.shape()) {
            Some(found) if found != shape => Err(FormatError::ShapeMismatch {
                file: self.file.clone(),
                tensor: self.told(name),
                expected: shape.to_vec(),
                found: found.to_vec(),
            }),
            _ => Ok(self.maybe(name)),
        }
    }

    /// Whether there is a tensor with this name. Does not count as reading it.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// All tensors, in order. Does not count as reading them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Tensor> {
        self.entries.values().map(|entry| entry.source.tensor())
    }

    /// The tensors of the file that each one is or is made of, under its name. Does not count as reading them.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, Part<'_>)> {
        self.entries.iter().flat_map(|(name, entry)| {
            let parts = entry.source.parts().into_iter();
            parts.map(move |part| (name.as_str(), part))
        })
    }

    /// Bytes that the tensors take where they are stored: fewer than theirs in all where zeros are left out.
    pub fn stored_bytes(&self) -> u64 {
        let bytes = self.sources().map(|(_, part)| part.storage.len() as u64);
        bytes.sum()
    }

    /// The files that the tensors lie in, as they were mapped; those in memory lie in none.
    pub fn files(&self) -> Vec<&Path> {
        let mut files: Vec<&Path> = Vec::new();
        for path in self.sources().filter_map(|(_, part)| part.storage.path()) {
            if !files.contains(&path) {
                files.push(path);
            }
        }
        files
    }

    /// The names of all tensors, in order. Does not count as reading them.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// What the tensors are, in order. Makes none of them.
    pub fn infos(&self) -> impl ExactSizeIterator<Item = TensorInfo> {
        self.entries.values().map(|entry| entry.source.info())
    }

    /// What the tensor with this name is, if there is one. Does not count as reading it.
    pub fn info(&self, name: &str) -> Option<TensorInfo> {
        self.entries.get(name).map(|entry| entry.source.info())
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names of the tensors that nobody asked for, in order.
    pub fn unread(&self) -> impl Iterator<Item = &str> {
        let unread = |entry: &Entry| !entry.read.load(Ordering::Relaxed);
        self.entries
            .iter()
            .filter_map(move |(name, entry)| unread(entry).then_some(name.as_str()))
    }

    /// What the file calls the tensor `name`, for messages.
    pub fn told(&self, name: &str) -> String {
        self.origins.of(name).unwrap_or_else(|| name.into())
    }

    fn missing(&self, name: &str) -> FormatError {
        FormatError::MissingTensor {
            file: self.file.clone(),
            tensor: self.told(name),
            similar: self.similar(name).map(|name| self.told(&name)),
        }
    }

    /// The name that differs least from `name`, if it differs by little.
    fn similar(&self, name: &str) -> Option<String> {
        const FAR: usize = 4;
        let near = |other: &&String| other.len().abs_diff(name.len()) < FAR;
        let names = self.entries.keys().filter(near);
        let distances =
            names.map(|other| (edit_distance(name.as_bytes(), other.as_bytes()), other));
        let (distance, closest) = distances.min_by_key(|&(distance, _)| distance)?;
        (distance < FAR).then(|| closest.clone())
    }
}

impl Source {
    fn tensor(&self) -> Tensor {
        match self {
            Self::Stored(tensor) => tensor.clone(),
            Self::Derived(derived) => derived.make(),
            Self::Sparse(sparse) => sparse.to_tensor(),
        }
    }

    fn info(&self) -> TensorInfo {
        match self {
            Self::Stored(tensor) => TensorInfo {
                name: tensor.name().into(),
                dtype: tensor.dtype(),
                shape: tensor.shape().to_vec(),
            },
            Self::Derived(derived) => derived.info().clone(),
            Self::Sparse(sparse) => TensorInfo {
                name: sparse.name().into(),
                dtype: sparse.dtype(),
                shape: sparse.shape().to_vec(),
            },
        }
    }

    fn parts(&self) -> Vec<Part<'_>> {
        match self {
            Self::Stored(tensor) => vec![Part {
                dtype: tensor.dtype(),
                shape: tensor.shape(),
                storage: tensor.storage(),
            }],
            Self::Derived(derived) => {
                let parts = derived.parts().iter();
                let parts = parts.flat_map(|piece| {
                    piece.storages().map(|storage| Part {
                        dtype: piece.dtype(),
                        shape: piece.shape(),
                        storage,
                    })
                });
                parts.collect()
            }
            Self::Sparse(sparse) => vec![Part {
                dtype: sparse.dtype(),
                shape: sparse.shape(),
                storage: sparse.storage(),
            }],
        }
    }

    /// Some of the tensor that `info` describes.
    fn part(self, file: &Path, info: &TensorInfo, part: &KeptPart) -> Result<Self, FormatError> {
        let mut steps = Vec::new();
        steps.extend(part.rows.clone().map(Step::Rows));
        if let Some(columns) = &part.columns {
            if !are_whole_blocks(columns, info.dtype) {
                steps.push(Step::Map(|value| value));
            }
            steps.push(Step::Columns(Arc::clone(columns)));
        }
        if steps.is_empty() && info.name == part.name {
            return Ok(self);
        }
        Ok(Self::Derived(match self {
            Self::Stored(tensor) => {
                Derived::new(file, &part.name, vec![tensor.into()], Join::Rows, steps)?
            }
            Self::Derived(derived) => derived.then(file, &part.name, steps)?,
            Self::Sparse(sparse) if steps.is_empty() => {
                return Ok(Self::Sparse(sparse.named(part.name.as_str())));
            }
            Self::Sparse(sparse) => {
                let parts = vec![sparse.to_tensor().into()];
                Derived::new(file, &part.name, parts, Join::Rows, steps)?
            }
        }))
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Stored(tensor) => tensor.shape(),
            Self::Derived(derived) => &derived.info().shape,
            Self::Sparse(sparse) => sparse.shape(),
        }
    }
}

/// Levenshtein's: how many bytes must be inserted, removed or replaced to turn one into the other.
fn edit_distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use dino_core::{DType, Storage};

    fn weights(names: &[&str]) -> Weights {
        let mut weights = Weights::new("w");
        for &name in names {
            let storage = Storage::from_vec(vec![0; 24]);
            let tensor = Tensor::new(name, DType::F32, &[2, 3], storage).unwrap();
            weights.insert(tensor).unwrap();
        }
        weights
    }

    #[test]
    fn a_missing_tensor_is_told_with_its_nearest_name() {
        let weights = weights(&[
            "blk.0.attn_q.weight",
            "blk.0.attn_k.weight",
            "output.weight",
        ]);
        let similar = |name| match weights.get(name) {
            Err(FormatError::MissingTensor { similar, .. }) => similar,
            other => panic!("{other:?}"),
        };
        assert_eq!(similar("output.weights").as_deref(), Some("output.weight"));
        assert_eq!(similar("token_embd.weight"), None);
    }

    #[test]
    fn shapes_and_names_are_checked_and_reads_recorded() {
        let mut weights = weights(&["a", "b"]);
        assert!(weights.expect("a", &[2, 3]).is_ok());
        assert!(matches!(
            weights.maybe_expect("a", &[3, 2]),
            Err(FormatError::ShapeMismatch { .. })
        ));
        assert!(weights.maybe_expect("c", &[1]).unwrap().is_none());
        assert!(weights.unread().eq(["b"]));
        let again = Tensor::new("a", DType::F32, &[1], Storage::from_vec(vec![0; 4])).unwrap();
        assert!(matches!(
            weights.insert(again),
            Err(FormatError::DuplicateTensor { .. })
        ));
    }

    #[test]
    fn edit_distances_are_levenshteins() {
        for (from, to, distance) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edit_distance(from.as_bytes(), to.as_bytes()), distance);
        }
    }
}
