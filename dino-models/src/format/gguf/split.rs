//! A model in one file or in several: `model-00001-of-00003.gguf` and its neighbours.

use super::reader::Reader;
use super::{DEFAULT_ALIGNMENT, header, tensors};
use crate::format::model_file::{Extent, ModelFile};
use crate::format::{FormatError, Metadata, Weights, sniff};
use dino_core::Storage;
use std::path::{Path, PathBuf};

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// Reads the model whose first or only part is `storage`, the content of `path`.
pub(in crate::format) fn read(
    path: &Path,
    storage: &Storage,
    extent: Extent,
) -> Result<ModelFile, FormatError> {
    let mut weights = Weights::new(path);
    let metadata = read_part(path, storage, extent, &mut weights)?;
    // The specification gives both 16 bits, which bounds the search for the other parts.
    let number = usize::from(metadata.maybe::<u16>(NUMBER)?.unwrap_or(0));
    let count = usize::from(metadata.maybe::<u16>(COUNT)?.unwrap_or(1));
    let tensors: Option<usize> = metadata.maybe(TENSORS)?;
    if number > 0 {
        return Err(FormatError::NotFirstPart {
            file: path.into(),
            number,
            count,
            first: first_name(path, count),
        });
    }
    if extent == Extent::All && count > 1 {
        read_others(path, count, &mut weights)?;
        let expected = tensors.unwrap_or(weights.len());
        check(path, TENSORS, expected, weights.len())?;
    }
    Ok(ModelFile {
        metadata,
        weights,
        path: path.into(),
    })
}

/// Reads one file: its metadata, and its tensors into `weights`.
fn read_part(
    path: &Path,
    storage: &Storage,
    extent: Extent,
    weights: &mut Weights,
) -> Result<Metadata, FormatError> {
    let mut reader = Reader::new(path, storage);
    let counts = header::counts(&mut reader)?;
    let mut metadata = Metadata::new(path);
    header::keys(&mut reader, counts.keys, &mut metadata)?;
    let alignment = metadata.maybe("general.alignment")?;
    let alignment: usize = alignment.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() {
        return Err(FormatError::BadAlignment {
            file: path.into(),
            found: alignment,
        });
    }
    if extent == Extent::All {
        tensors::read(&mut reader, storage, counts.tensors, alignment, weights)?;
    }
    Ok(metadata)
}

/// Reads the parts behind the first into `weights`.
fn read_others(first: &Path, count: usize, weights: &mut Weights) -> Result<(), FormatError> {
    let stem = stem(first, count).ok_or_else(|| FormatError::PartName {
        file: first.into(),
        count,
    })?;
    let name = |number| first.with_file_name(part_name(stem, number, count));
    let missing: Vec<PathBuf> = (1..count)
        .map(name)
        .filter(|path| !path.is_file())
        .collect();
    if !missing.is_empty() {
        return Err(FormatError::MissingParts {
            file: first.into(),
            count,
            missing,
        });
    }
    for number in 1..count {
        let path = name(number);
        let storage = Storage::map(&path).map_err(FormatError::Open)?;
        sniff::bytes(&path, storage.as_slice())?;
        let metadata = read_part(&path, &storage, Extent::All, weights)?;
        check(&path, NUMBER, number, metadata.get(NUMBER)?)?;
        check(&path, COUNT, count, metadata.get(COUNT)?)?;
    }
    Ok(())
}

fn check(file: &Path, key: &'static str, expected: usize, found: usize) -> Result<(), FormatError> {
    if expected == found {
        return Ok(());
    }
    Err(FormatError::PartMismatch {
        file: file.into(),
        key,
        expected,
        found,
    })
}

fn part_name(stem: &str, number: usize, count: usize) -> String {
    format!("{stem}-{:05}-of-{count:05}.gguf", number.saturating_add(1))
}

/// The name of the first of `count` parts without what all parts add to it.
fn stem(first: &Path, count: usize) -> Option<&str> {
    let name = first.file_name()?.to_str()?;
    name.strip_suffix(&part_name("", 0, count))
}

/// What the first part is called if `part` is another one.
fn first_name(part: &Path, count: usize) -> PathBuf {
    let name = part.file_name().and_then(|name| name.to_str());
    let end = format!("-of-{count:05}.gguf");
    let stem = name
        .and_then(|name| name.strip_suffix(&end))
        .and_then(|name| name.rsplit_once('-'));
    match stem {
        Some((stem, _)) => part.with_file_name(part_name(stem, 0, count)),
        None => PathBuf::from(format!("…-00001{end}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::gguf::{TensorInfo, Writer};
    use dino_core::DType;

    /// Writes part `number` of `count`, with a tensor `t{number}`, as if all parts held `tensors` tensors.
    fn write(folder: &Path, number: usize, count: usize, tensors: i32) -> PathBuf {
        let path = folder.join(part_name("m", number, count));
        let metadata = Metadata::new("m")
            .with(NUMBER, number as u16)
            .with(COUNT, count as u16)
            .with(TENSORS, tensors);
        let tensor = TensorInfo {
            name: format!("t{number}"),
            dtype: DType::F32,
            shape: vec![1],
        };
        let mut writer = Writer::create(&path, &metadata, &[tensor]).unwrap();
        writer.tensor(&(number as f32).to_le_bytes()).unwrap();
        writer.finish().unwrap();
        path
    }

    #[test]
    fn the_first_part_opens_all() {
        let folder = tempfile::tempdir().unwrap();
        let parts: Vec<_> = (0..3).map(|n| write(folder.path(), n, 3, 3)).collect();
        let model = ModelFile::open(&parts[0]).unwrap();
        assert_eq!(model.weights.len(), 3);
        let last = model.weights.get("t2").unwrap().to_array().unwrap();
        assert_eq!(last[[0, 0]], 2.0);

        match ModelFile::open(&parts[2]).unwrap_err() {
            FormatError::NotFirstPart { first, .. } => assert_eq!(first, parts[0]),
            other => panic!("{other}"),
        }
        std::fs::remove_file(&parts[1]).unwrap();
        match ModelFile::open(&parts[0]).unwrap_err() {
            FormatError::MissingParts { missing, .. } => assert_eq!(missing, parts[1..2]),
            other => panic!("{other}"),
        }
        let renamed = folder.path().join("renamed.gguf");
        std::fs::rename(&parts[0], &renamed).unwrap();
        let error = ModelFile::open(&renamed).unwrap_err();
        assert!(matches!(error, FormatError::PartName { .. }), "{error}");
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = write(folder.path(), 0, 2, 3);
        let second = write(folder.path(), 1, 2, 3);
        let mismatch = || match ModelFile::open(&first).unwrap_err() {
            FormatError::PartMismatch { key, .. } => key,
            other => panic!("{other}"),
        };
        assert_eq!(mismatch(), TENSORS);
        std::fs::copy(write(folder.path(), 1, 3, 3), &second).unwrap();
        assert_eq!(mismatch(), COUNT);
        std::fs::copy(&first, &second).unwrap();
        let error = ModelFile::open(&first).unwrap_err();
        assert!(
            matches!(error, FormatError::DuplicateTensor { .. }),
            "{error}"
        );
    }
}
