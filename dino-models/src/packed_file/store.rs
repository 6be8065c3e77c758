//! What a loader does with a packed file: takes weights from it, or writes it.

use super::fingerprint::{Encoders, fingerprint};
use super::header::Purpose;
use super::write::PackedWriter;
use super::{PackedFile, PackedFileError};
use crate::format::ModelFile;
use dino_core::{DType, Storage};
use dino_kernels::{PackedWeight, Packing};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// What became of the packed file of a load.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum PackedCache {
    /// None was asked for.
    #[default]
    Off,
    /// Weights were mapped from it.
    Used(PathBuf),
    /// It was not there or out of date, and was written for the next load.
    Written(PathBuf),
    /// It could neither be used nor written; the model was loaded without it.
    Failed(PackedFileError),
}

/// The file that weights are pages of, once it is complete and in its place.
pub(crate) type PackedSource = Arc<OnceLock<Storage>>;

/// The packed file of a load that goes on.
#[derive(Debug, Default)]
pub(crate) enum PackedStore {
    #[default]
    Off,
    Read(PackedFile),
    Write {
        writer: Box<PackedWriter>,
        /// Whether weights are to be pages of the file, rather than memory, from the first load on.
        mapped: bool,
        source: PackedSource,
    },
    Failed(PackedFileError),
}

impl PackedStore {
    /// Opens the packed file at `path` if it fits the model; begins to write it otherwise.
    pub(crate) fn open(
        path: PathBuf,
        file: &ModelFile,
        lanes: usize,
        encoders: Encoders<'_>,
        mapped: bool,
    ) -> Self {
        let Some(fingerprint) = fingerprint(file, encoders) else {
            return Self::Failed(PackedFileError::UnnamedEncoder);
        };
        let purpose = Purpose {
            lanes: lanes as u32,
            fingerprint,
        };
        if let Ok(packed) = PackedFile::open_for(&path, purpose) {
            if !mapped {
                packed.prefetch();
            }
            return Self::Read(packed);
        }
        match PackedWriter::create(&path, purpose) {
            Ok(writer) => Self::Write {
                writer: Box::new(writer),
                mapped,
                source: PackedSource::default(),
            },
            Err(error) => Self::Failed(error),
        }
    }

    /// The weight `name`, if it is there already.
    pub(crate) fn get(
        &self,
        name: &str,
        kind: (DType, Packing),
        shape: [usize; 2],
    ) -> Option<PackedWeight> {
        match self {
            Self::Read(file) => file.weight(name, kind, shape),
            _ => None,
        }
    }

    /// The file that weights are pages of, to see whether it changes.
    pub(crate) fn source(&self) -> Option<PackedSource> {
        match self {
            Self::Read(file) => Some(Arc::new(file.storage().clone().into())),
            Self::Write {
                mapped: true,
                source,
                ..
            } => Some(Arc::clone(source)),
            _ => None,
        }
    }

    /// Keeps a weight that was just packed; gives the weight to use from now on.
    pub(crate) fn keep(&mut self, weight: PackedWeight) -> PackedWeight {
        let Self::Write { writer, mapped, .. } = self else {
            return weight;
        };
        let kept = writer.push(&weight).and_then(|()| {
            if *mapped {
                writer.map_last(&weight)
            } else {
                Ok(weight.clone())
            }
        });
        kept.unwrap_or_else(|error| {
            *self = Self::Failed(error);
            weight
        })
    }

    /// Puts a file that was written in its place.
    pub(crate) fn finish(&mut self) -> PackedCache {
        match std::mem::take(self) {
            Self::Off => PackedCache::Off,
            Self::Read(file) => PackedCache::Used(file.path().to_owned()),
            Self::Failed(error) => PackedCache::Failed(error),
            Self::Write { writer, source, .. } => {
                let path = writer.path().to_owned();
                match writer.finish().and_then(|()| PackedFile::open(&path)) {
                    Ok(file) => {
                        // It was empty so far: nobody else fills it.
                        let _ = source.set(file.storage().clone());
                        PackedCache::Written(path)
                    }
                    Err(error) => PackedCache::Failed(error),
                }
            }
        }
    }
}
