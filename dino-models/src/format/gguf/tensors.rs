//! The tensors: their descriptions in the header, then their bytes in the data section.

use super::reader::Reader;
use super::types;
use crate::format::{FormatError, Weights};
use dino_core::{DType, SparseTensor, Storage, Tensor};
use std::path::Path;

/// What the header says of a tensor.
struct Description {
    name: String,
    dtype: DType,
    /// Rows first.
    shape: Vec<usize>,
    /// Where the data starts, counted from the data section.
    offset: u64,
    /// Bytes of the data.
    size: usize,
    /// Whether zeros are left out; then the bytes themselves say how many they are.
    is_sparse: bool,
}

/// Reads `count` descriptions and adds the tensors in the data section behind them to `weights`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    storage: &Storage,
    count: usize,
    alignment: usize,
    weights: &mut Weights,
) -> Result<(), FormatError> {
    let mut descriptions = Vec::with_capacity(count);
    for index in 0..count {
        reader.enter(format!("the description of tensor {index}"));
        descriptions.push(description(reader, alignment)?);
    }
    let (file, _) = reader.place();
    let start = reader.position().checked_next_multiple_of(alignment);
    let start = start.map_or(storage.len(), |start| start.min(storage.len()));
    let data = storage
        .slice(start, storage.len() - start)
        .map_err(FormatError::Open)?;
    let mut sparse = Vec::new();
    for description in &mut descriptions {
        if description.is_sparse {
            let tensor = sparse_tensor(&file, &data, description)?;
            description.size = tensor.storage().len();
            sparse.push(tensor);
        }
    }
    check_overlap(&file, &descriptions)?;
    let mut sparse = sparse.into_iter();
    for description in descriptions {
        match description.is_sparse.then(|| sparse.next()).flatten() {
            Some(tensor) => weights.insert_sparse(tensor)?,
            None => weights.insert(tensor(&file, &data, description)?)?,
        }
    }
    Ok(())
}

fn description(reader: &mut Reader<'_>, alignment: usize) -> Result<Description, FormatError> {
    let name = reader.name()?.to_owned();
    reader.enter(format!("the description of tensor `{name}`"));
    let (file, _) = reader.place();
    let shape = shape(reader, &name)?;
    let number = reader.u32()?;
    let offset = reader.u64()?;
    let sparse = SparseTensor::from_gguf_id(number);
    let Some(dtype) = sparse.or_else(|| DType::from_gguf_id(number).ok()) else {
        return Err(FormatError::UnknownTensorType {
            file,
            tensor: name,
            number,
            name: types::unread_name(number),
        });
    };
    if !offset.is_multiple_of(alignment as u64) {
        return Err(FormatError::Misaligned {
            file,
            tensor: name,
            offset,
            alignment,
        });
    }
    let size = Tensor::byte_size(&name, dtype, &shape)
        .map_err(|source| FormatError::Tensor { file, source })?;
    Ok(Description {
        name,
        dtype,
        shape,
        offset,
        size,
        is_sparse: sparse.is_some(),
    })
}

/// The dimensions, turned round to be rows first.
fn shape(reader: &mut Reader<'_>, tensor: &str) -> Result<Vec<usize>, FormatError> {
    let (file, _) = reader.place();
    let tensor = || tensor.to_owned();
    let rank = reader.u32()?;
    if !(1..=4).contains(&rank) {
        return Err(FormatError::BadRank {
            file,
            tensor: tensor(),
            found: rank,
        });
    }
    let mut shape = Vec::with_capacity(4);
    for _ in 0..rank {
        let found = reader.u64()?;
        match usize::try_from(found) {
            Ok(dimension) if dimension > 0 => shape.push(dimension),
            _ => {
                let tensor = tensor();
                return Err(FormatError::BadDimension {
                    file,
                    tensor,
                    found,
                });
            }
        }
    }
    shape.reverse();
    Ok(shape)
}

/// Refuses tensors that share bytes.
fn check_overlap(file: &Path, descriptions: &[Description]) -> Result<(), FormatError> {
    let mut sorted: Vec<&Description> = descriptions.iter().collect();
    sorted.sort_by_key(|description| description.offset);
    for (first, second) in sorted.iter().zip(sorted.iter().skip(1)) {
        if first.offset.saturating_add(first.size as u64) > second.offset {
            return Err(FormatError::Overlap {
                file: file.into(),
                first: first.name.clone(),
                second: second.name.clone(),
                offset: second.offset,
            });
        }
    }
    Ok(())
}

fn tensor(file: &Path, data: &Storage, description: Description) -> Result<Tensor, FormatError> {
    let Description {
        name,
        dtype,
        shape,
        offset,
        size,
        ..
    } = description;
    let bytes = usize::try_from(offset)
        .ok()
        .and_then(|offset| data.slice(offset, size).ok());
    let Some(bytes) = bytes else {
        return Err(FormatError::OutsideFile {
            file: file.into(),
            tensor: name,
            offset,
            needed: size,
            available: data.len(),
        });
    };
    Tensor::new(name, dtype, &shape, bytes).map_err(|source| FormatError::Tensor {
        file: file.into(),
        source,
    })
}

/// A tensor without its zeros, whose bytes lie in `data`.
fn sparse_tensor(
    file: &Path,
    data: &Storage,
    description: &Description,
) -> Result<SparseTensor, FormatError> {
    let Description {
        name,
        dtype,
        shape,
        offset,
        ..
    } = description;
    let start = usize::try_from(*offset).map_or(data.len(), |offset| offset.min(data.len()));
    let rest = data
        .slice(start, data.len() - start)
        .map_err(FormatError::Open)?;
    SparseTensor::new(name.as_str(), *dtype, shape, &rest).map_err(|source| FormatError::Tensor {
        file: file.into(),
        source,
    })
}
