//! From the features of tokens to those of a text.

use crate::ModelError;
use crate::format::Metadata;
use ndarray::{ArrayView2, Axis, Slice};

/// How the features of a text are made from those of its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// Their mean.
    #[default]
    Mean,
    /// Those of the first token, which encoders put there for this (CLS).
    First,
    /// Those of the last token, which has seen all others in a model that reads from left to right.
    Last,
}

impl Pooling {
    /// Reads `pooling_type`; `None` where the file does not say.
    ///
    /// # Errors
    /// If it is one that is not known.
    pub fn read(metadata: &Metadata) -> Result<Option<Self>, ModelError> {
        let scoped = metadata.scoped()?;
        let key = "pooling_type";
        match scoped.maybe::<u32>(key)? {
            None | Some(0) => Ok(None),
            Some(1) => Ok(Some(Self::Mean)),
            Some(2) => Ok(Some(Self::First)),
            Some(3) => Ok(Some(Self::Last)),
            Some(other) => Err(ModelError::Unsupported {
                file: metadata.file().to_owned(),
                key: scoped.key(key),
                found: other.to_string(),
            }),
        }
    }
}

/// The features of one text while those of its tokens come in.
#[derive(Clone, Debug)]
pub struct Pool {
    pooling: Pooling,
    sum: Vec<f64>,
    tokens: usize,
}

impl Pool {
    /// Of a text with `hidden` features whose tokens have not come yet.
    pub fn new(pooling: Pooling, hidden: usize) -> Self {
        Self {
            pooling,
            sum: vec![0.0; hidden],
            tokens: 0,
        }
    }

    /// Takes the features of the text's next tokens, `[tokens, hidden]`.
    pub fn push(&mut self, rows: ArrayView2<'_, f32>) {
        if rows.is_empty() {
            return;
        }
        let used = match self.pooling {
            Pooling::Mean => rows,
            Pooling::First if self.tokens == 0 => rows.slice_axis_move(Axis(0), Slice::from(..1)),
            Pooling::First => return,
            Pooling::Last => {
                self.sum.fill(0.0);
                rows.slice_axis_move(Axis(0), Slice::from(-1..))
            }
        };
        self.tokens += rows.nrows();
        for row in used.rows() {
            for (sum, value) in self.sum.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
    }

    /// The features of the text, `[hidden]`; zeros if it has no token.
    pub fn features(&self) -> Vec<f32> {
        let count = match self.pooling {
            Pooling::Mean => self.tokens.max(1),
            Pooling::First | Pooling::Last => 1,
        };
        self.scaled((count as f64).recip())
    }

    /// The features as a vector of length 1; zeros stay.
    pub fn unit(&self) -> Vec<f32> {
        let length = self.sum.iter().map(|value| value * value).sum::<f64>();
        let length = length.sqrt();
        self.scaled(if length > 0.0 { length.recip() } else { 0.0 })
    }

    fn scaled(&self, scale: f64) -> Vec<f32> {
        let scaled = self.sum.iter().map(|value| (value * scale) as f32);
        scaled.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn tokens_may_come_in_pieces() {
        let rows = array![[3.0, 0.0], [1.0, 2.0], [2.0, 4.0_f32]];
        for (pooling, expected) in [
            (Pooling::Mean, [2.0, 2.0]),
            (Pooling::First, [3.0, 0.0]),
            (Pooling::Last, [2.0, 4.0]),
        ] {
            for cut in 0..=3 {
                let (mut pool, (first, rest)) =
                    (Pool::new(pooling, 2), rows.view().split_at(Axis(0), cut));
                pool.push(first);
                pool.push(rest);
                assert_eq!(pool.features(), expected, "{pooling:?} {cut}");
                let length: f32 = pool.unit().iter().map(|x| x * x).sum();
                assert!((length - 1.0).abs() < 1e-6);
            }
        }
        assert_eq!(Pool::new(Pooling::Mean, 2).features(), [0.0; 2]);
        assert_eq!(Pool::new(Pooling::Mean, 2).unit(), [0.0; 2]);
    }
}
