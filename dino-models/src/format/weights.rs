//! The tensors of a file under their names.

use super::FormatError;
use dino_core::Tensor;
use indexmap::IndexMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Tensors under their names, in the order of the file, that remember which of them were asked for.
#[derive(Debug)]
pub struct Weights {
    file: PathBuf,
    entries: IndexMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    tensor: Tensor,
    read: AtomicBool,
}

impl Weights {
    /// No tensors yet. Errors will name `file`.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            entries: IndexMap::new(),
        }
    }

    /// Adds a tensor under its name.
    ///
    /// # Errors
    /// [`FormatError::DuplicateTensor`] if there is one of that name.
    pub fn insert(&mut self, tensor: Tensor) -> Result<(), FormatError> {
        if self.entries.contains_key(tensor.name()) {
            return Err(FormatError::DuplicateTensor {
                file: self.file.clone(),
                tensor: tensor.name().into(),
            });
        }
        let entry = Entry {
            tensor,
            read: AtomicBool::new(false),
        };
        self.entries.insert(entry.tensor.name().into(), entry);
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
    pub fn get(&self, name: &str) -> Result<&Tensor, FormatError> {
        self.maybe(name).ok_or_else(|| FormatError::MissingTensor {
            file: self.file.clone(),
            tensor: name.into(),
            similar: self.similar(name),
        })
    }

    /// The tensor with this name, if there is one.
    pub fn maybe(&self, name: &str) -> Option<&Tensor> {
        let entry = self.entries.get(name)?;
        entry.read.store(true, Ordering::Relaxed);
        Some(&entry.tensor)
    }

    /// The tensor with this name, which must have `shape` (rows first).
    ///
    /// # Errors
    /// [`FormatError::MissingTensor`]; [`FormatError::ShapeMismatch`].
    pub fn expect(&self, name: &str, shape: &[usize]) -> Result<&Tensor, FormatError> {
        self.shaped(self.get(name)?, shape)
    }

    /// The tensor with this name, if there is one; it must have `shape` (rows first) then.
    ///
    /// # Errors
    /// [`FormatError::ShapeMismatch`].
    pub fn maybe_expect(
        &self,
        name: &str,
        shape: &[usize],
    ) -> Result<Option<&Tensor>, FormatError> {
        self.maybe(name)
            .map(|tensor| self.shaped(tensor, shape))
            .transpose()
    }

    /// Whether there is a tensor with this name. Does not count as reading it.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// All tensors, in order. Does not count as reading them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Tensor> {
        self.entries.values().map(|entry| &entry.tensor)
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
        let entries = self.entries.values();
        entries
            .filter(|entry| !entry.read.load(Ordering::Relaxed))
            .map(|entry| entry.tensor.name())
    }

    fn shaped<'a>(&self, tensor: &'a Tensor, shape: &[usize]) -> Result<&'a Tensor, FormatError> {
        if tensor.shape() == shape {
            return Ok(tensor);
        }
        Err(FormatError::ShapeMismatch {
            file: self.file.clone(),
            tensor: tensor.name().into(),
            expected: shape.to_vec(),
            found: tensor.shape().to_vec(),
        })
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
