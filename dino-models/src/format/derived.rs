//! Tensors that are made from a file's when they are asked for, and not before: a model of another naming or layout
//! is never held twice.

use super::piece::Piece;
use super::{FormatError, TensorInfo};
use dino_core::{DType, Storage, Tensor};
use std::path::Path;
use std::sync::Arc;

/// One change on the way from a file's tensor to a model's.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Row `i` of each matrix becomes what row `order[i]` was; of a vector, element `i`.
    Rows(Arc<[usize]>),
    /// Column `i` of each matrix becomes what column `order[i]` was; of quantized ones, whole blocks of columns.
    Columns(Arc<[usize]>),
    /// Rows of each matrix become columns.
    Transpose,
    /// Each value becomes another, in f32.
    Map(fn(f32) -> f32),
    /// The same values in another shape.
    Reshape(Vec<usize>),
}

/// How the parts of a tensor are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// One's rows behind the other's; a single part stays as it is.
    Rows,
    /// As matrices of a stack: a new first dimension.
    Stack,
}

/// How a tensor is made.
#[derive(Debug)]
pub(super) struct Derived {
    info: TensorInfo,
    parts: Vec<Piece>,
    joined: Vec<usize>,
    steps: Vec<Step>,
}

impl Derived {
    /// The tensor `name` made of `parts`, joined and then changed step by step. Everything is checked here.
    ///
    /// # Errors
    /// [`FormatError::Unfit`] if the parts do not go together or a step does not fit the shape.
    pub(super) fn new(
        file: &Path,
        name: &str,
        parts: Vec<Piece>,
        join: Join,
        steps: Vec<Step>,
    ) -> Result<Self, FormatError> {
        let unfit = |tensor: &str, found: String, expected: &str| FormatError::Unfit {
            file: file.into(),
            tensor: tensor.into(),
            found,
            expected: expected.into(),
        };
        let Some(first) = parts.first() else {
            return Err(unfit(name, "no part".into(), "at least one"));
        };
        let tail = |tensor: &Piece| match join {
            Join::Rows => tensor.shape().get(1..).map(<[usize]>::to_vec),
            Join::Stack => Some(tensor.shape().to_vec()),
        };
        for part in &parts {
            if part.dtype() != first.dtype() || tail(part) != tail(first) {
                let found = format!("{} {:?}", part.dtype(), part.shape());
                let expected = format!(
                    "the same as `{}`: {} {:?}",
                    first.name(),
                    first.dtype(),
                    first.shape()
                );
                return Err(unfit(part.name(), found, &expected));
            }
        }
        let joined = joined_shape(&parts, join);
        let joined = joined.ok_or_else(|| unfit(first.name(), "no dimension".into(), "rows"))?;
        let info = TensorInfo {
            name: name.into(),
            dtype: first.dtype(),
            shape: joined.clone(),
        };
        let info = changed(file, first.name(), info, &steps)?;
        Ok(Self {
            info,
            parts,
            joined,
            steps,
        })
    }

    /// The same under another name, with more steps behind.
    ///
    /// # Errors
    /// [`FormatError::Unfit`] if a step does not fit the shape.
    pub(super) fn then(
        &self,
        file: &Path,
        name: &str,
        steps: Vec<Step>,
    ) -> Result<Self, FormatError> {
        let info = TensorInfo {
            name: name.into(),
            ..self.info.clone()
        };
        Ok(Self {
            info: changed(file, &self.info.name, info, &steps)?,
            parts: self.parts.clone(),
            joined: self.joined.clone(),
            steps: [self.steps.as_slice(), &steps].concat(),
        })
    }

    /// What the tensor will be.
    pub(super) fn info(&self) -> &TensorInfo {
        &self.info
    }

    /// What it is made of.
    pub(super) fn parts(&self) -> &[Piece] {
        &self.parts
    }

    /// The tensor, made anew. The pages of the file that it was made from are released.
    pub(super) fn make(&self) -> Tensor {
        let mut shape = self.joined.clone();
        let dtype = self.parts.first().map_or(DType::F32, Piece::dtype);
        let mut values = Values {
            dtype,
            bytes: self.join(),
        };
        for step in &self.steps {
            let info = TensorInfo {
                name: String::new(),
                dtype: values.dtype,
                shape: shape.clone(),
            };
            shape = step.info(&info).map_or(shape, |info| info.shape);
            values = step.apply(&values, &info);
        }
        for part in &self.parts {
            part.release();
        }
        Tensor::new(
            self.info.name.as_str(),
            values.dtype,
            &self.info.shape,
            values.bytes,
        )
        .expect("every step was checked when the tensor was described")
    }

    /// The bytes of all parts; those of a single one are shared.
    fn join(&self) -> Storage {
        if let [part] = self.parts.as_slice() {
            return part.bytes();
        }
        let mut bytes = Vec::new();
        for part in &self.parts {
            bytes.extend_from_slice(part.bytes().as_slice());
            part.release();
        }
        Storage::from_vec(bytes)
    }
}

/// What a tensor is after `steps`; the file calls it `told`.
fn changed(
    file: &Path,
    told: &str,
    mut info: TensorInfo,
    steps: &[Step],
) -> Result<TensorInfo, FormatError> {
    for step in steps {
        let unfit = || FormatError::Unfit {
            file: file.into(),
            tensor: told.into(),
            found: format!("{} {:?}", info.dtype, info.shape),
            expected: "a matrix of the size that its model has".into(),
        };
        info = step.info(&info).ok_or_else(unfit)?;
    }
    let size = Tensor::byte_size(&info.name, info.dtype, &info.shape);
    match size {
        Ok(_) => Ok(info),
        Err(source) => Err(FormatError::Tensor {
            file: file.into(),
            source,
        }),
    }
}

/// Bytes of a type on their way through the steps.
struct Values {
    dtype: DType,
    bytes: Storage,
}

/// The shape of the parts put together; `None` if there is no part.
pub(crate) fn joined_shape(parts: &[Piece], join: Join) -> Option<Vec<usize>> {
    let first = parts.first()?.shape();
    if let (Join::Rows, [_]) = (join, parts) {
        return Some(first.to_vec());
    }
    match join {
        Join::Rows => {
            let rows = parts.iter().map(|part| part.shape().first().copied());
            let rows = rows.sum::<Option<usize>>()?;
            Some([&[rows], first.get(1..)?].concat())
        }
        Join::Stack => Some([&[parts.len()], first].concat()),
    }
}

/// Which dimension of `shape` holds the rows of a matrix, or the elements of a vector.
pub(crate) fn row_axis(shape: &[usize]) -> usize {
    shape.len().saturating_sub(2)
}

impl Step {
    /// The shape of a tensor of `shape` after this step.
    pub(crate) fn reshape(&self, shape: &mut Vec<usize>) {
        let axis = row_axis(shape);
        match self {
            Self::Rows(order) => {
                if let Some(rows) = shape.get_mut(axis) {
                    *rows = order.len();
                }
            }
            Self::Columns(order) if shape.len() > 1 => shape[axis + 1] = order.len(),
            Self::Transpose if shape.len() > 1 => shape.swap(axis, axis + 1),
            Self::Reshape(after) => shape.clone_from(after),
            Self::Columns(_) | Self::Transpose | Self::Map(_) => {}
        }
    }

    /// What a tensor is after this step; `None` if it does not fit.
    fn info(&self, before: &TensorInfo) -> Option<TensorInfo> {
        let mut after = before.clone();
        match self {
            Self::Rows(order) => {
                let rows = after.shape.get_mut(row_axis(&before.shape))?;
                let fits = order.iter().all(|&row| row < *rows) && !order.is_empty();
                *rows = fits.then_some(order.len())?;
                // The elements of a vector of blocks cannot be moved.
                (before.shape.len() > 1 || before.dtype.block_len() == 1).then_some(after)
            }
            Self::Columns(order) => {
                let last = after.shape.len().checked_sub(1).filter(|last| *last > 0)?;
                let columns = after.shape.get_mut(last)?;
                let fits = order.iter().all(|&column| column < *columns) && !order.is_empty();
                *columns = fits.then_some(order.len())?;
                are_whole_blocks(order, before.dtype).then_some(after)
            }
            Self::Transpose => {
                let last = after.shape.len().checked_sub(1)?;
                after.shape.swap(last.checked_sub(1)?, last);
                (before.dtype.block_len() == 1).then_some(after)
            }
            Self::Map(_) => {
                after.dtype = DType::F32;
                Some(after)
            }
            Self::Reshape(shape) => {
                let same =
                    shape.iter().product::<usize>() == before.shape.iter().product::<usize>();
                after.shape.clone_from(shape);
                same.then_some(after)
            }
        }
    }

    fn apply(&self, values: &Values, before: &TensorInfo) -> Values {
        let (dtype, bytes) = (values.dtype, values.bytes.as_slice());
        let shape = before.shape.as_slice();
        let rows = shape.get(row_axis(shape)).copied().unwrap_or(1);
        let matrices = shape
            .get(..row_axis(shape))
            .map_or(1, |outer| outer.iter().product::<usize>());
        let row_bytes = bytes.len() / (rows * matrices).max(1);
        let bytes = match self {
            Self::Rows(order) => {
                let mut moved = Vec::with_capacity(matrices * order.len() * row_bytes);
                for matrix in bytes.chunks_exact((rows * row_bytes).max(1)) {
                    for &row in order.iter() {
                        moved.extend_from_slice(&matrix[row * row_bytes..][..row_bytes]);
                    }
                }
                moved
            }
            Self::Columns(order) => pick_columns(bytes, row_bytes, dtype, order),
            Self::Transpose => transpose(bytes, rows, row_bytes, dtype.block_bytes()),
            Self::Map(change) => {
                let mut floats = vec![0.0; shape.iter().product()];
                dino_core::blocks::dequantize(dtype, bytes, &mut floats);
                floats
                    .iter()
                    .flat_map(|&x| change(x).to_le_bytes())
                    .collect()
            }
            Self::Reshape(_) => {
                return Values {
                    dtype,
                    bytes: values.bytes.clone(),
                };
            }
        };
        let dtype = match self {
            Self::Map(_) => DType::F32,
            _ => dtype,
        };
        Values {
            dtype,
            bytes: Storage::from_vec(bytes),
        }
    }
}

/// Whether columns can be picked out of blocks of `dtype` in this order: whole blocks, each as it is.
pub(super) fn are_whole_blocks(order: &[usize], dtype: DType) -> bool {
    order.chunks(dtype.block_len()).all(|block| {
        block.len() == dtype.block_len()
            && block[0].is_multiple_of(dtype.block_len())
            && block.windows(2).all(|pair| pair[0] + 1 == pair[1])
    })
}

/// The columns `order` of each row of `row_bytes` bytes; whole blocks of `dtype`.
fn pick_columns(bytes: &[u8], row_bytes: usize, dtype: DType, order: &[usize]) -> Vec<u8> {
    let size = dtype.block_bytes();
    let mut picked = Vec::with_capacity(bytes.len());
    for row in bytes.chunks_exact(row_bytes.max(1)) {
        for column in order.iter().step_by(dtype.block_len()) {
            picked.extend_from_slice(&row[column / dtype.block_len() * size..][..size]);
        }
    }
    picked
}

/// Each matrix of `rows` rows of `row_bytes` bytes with rows and columns exchanged; a value has `size` bytes.
fn transpose(bytes: &[u8], rows: usize, row_bytes: usize, size: usize) -> Vec<u8> {
    let mut turned = Vec::with_capacity(bytes.len());
    for matrix in bytes.chunks_exact((rows * row_bytes).max(1)) {
        for column in (0..row_bytes).step_by(size) {
            for row in matrix.chunks_exact(row_bytes) {
                turned.extend_from_slice(&row[column..column + size]);
            }
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[usize], first: u8) -> Tensor {
        let len = shape.iter().product::<usize>();
        let values = (0..len).flat_map(|i| f32::from(first + i as u8).to_le_bytes());
        Tensor::new(name, DType::F32, shape, Storage::from_vec(values.collect())).unwrap()
    }

    fn made(parts: Vec<Tensor>, join: Join, steps: Vec<Step>) -> (Vec<usize>, Vec<f32>) {
        let parts = parts.into_iter().map(Piece::from).collect();
        let made = Derived::new(Path::new("f"), "t", parts, join, steps)
            .unwrap()
            .make();
        let values = made.to_array().unwrap().into_raw_vec_and_offset().0;
        (made.shape().to_vec(), values)
    }

    #[test]
    fn parts_are_joined_and_changed_in_order() {
        let two = || vec![tensor("a", &[2, 2], 0), tensor("b", &[1, 2], 10)];
        let rows = made(two(), Join::Rows, vec![Step::Rows([2, 0].into())]);
        assert_eq!(rows, (vec![2, 2], vec![10., 11., 0., 1.]));
        let stack = || vec![tensor("a", &[1, 2], 0), tensor("b", &[1, 2], 10)];
        let turned = made(
            stack(),
            Join::Stack,
            vec![Step::Transpose, Step::Map(|x| x + 1.0)],
        );
        assert_eq!(turned, (vec![2, 2, 1], vec![1., 2., 11., 12.]));
        let vector = made(
            vec![tensor("a", &[3], 0)],
            Join::Rows,
            vec![Step::Rows([2, 1, 0].into()), Step::Reshape(vec![3, 1])],
        );
        assert_eq!(vector, (vec![3, 1], vec![2., 1., 0.]));
    }

    #[test]
    fn columns_are_picked_as_values_and_as_blocks() {
        let one = || vec![tensor("a", &[2, 3], 0)];
        let picked = made(one(), Join::Rows, vec![Step::Columns([2, 0].into())]);
        assert_eq!(picked, (vec![2, 2], vec![2., 0., 5., 3.]));
        let bytes = (0..2 * 3 * 34).map(|i| i as u8).collect::<Vec<_>>();
        let storage = Storage::from_vec(bytes.clone());
        let blocks = Tensor::new("q", DType::Q8_0, &[2, 96], storage).unwrap();
        let pick = |order: Vec<usize>| {
            let steps = vec![Step::Columns(order.into())];
            Derived::new(
                Path::new("f"),
                "t",
                vec![blocks.clone().into()],
                Join::Rows,
                steps,
            )
        };
        let made = pick((64..96).chain(0..32).collect()).unwrap().make();
        let expected: Vec<u8> = [68..102, 0..34, 170..204, 102..136]
            .into_iter()
            .flat_map(|range| bytes[range].to_vec())
            .collect();
        assert_eq!(
            (made.shape(), made.storage().as_slice()),
            (&[2, 64][..], &expected[..])
        );
        assert!(pick((1..33).collect()).is_err());
        assert!(pick((64..97).collect()).is_err());
    }

    #[test]
    fn a_matrix_is_turned() {
        let turned = made(
            vec![tensor("a", &[2, 3], 0)],
            Join::Rows,
            vec![Step::Transpose],
        );
        assert_eq!(turned, (vec![3, 2], vec![0., 3., 1., 4., 2., 5.]));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |parts, join, steps| {
            let parts: Vec<Tensor> = parts;
            let parts = parts.into_iter().map(Piece::from).collect();
            let error = Derived::new(Path::new("f"), "t", parts, join, steps).unwrap_err();
            error.to_string()
        };
        let parts = vec![tensor("a", &[2, 2], 0), tensor("b", &[2, 3], 0)];
        assert!(refused(parts.clone(), Join::Rows, vec![]).contains("`b`"));
        assert!(refused(parts, Join::Stack, vec![]).contains("`b`"));
        let one = || vec![tensor("a", &[2, 2], 0)];
        assert!(refused(one(), Join::Rows, vec![Step::Rows([2].into())]).contains("`a`"));
        assert!(refused(one(), Join::Rows, vec![Step::Reshape(vec![5])]).contains("`a`"));
        assert!(
            refused(
                vec![tensor("v", &[2], 0)],
                Join::Rows,
                vec![Step::Transpose]
            )
            .contains("`v`")
        );
        assert!(refused(one(), Join::Rows, vec![Step::Columns([2].into())]).contains("`a`"));
    }
}
