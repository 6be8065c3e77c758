//! The kernels of int8 layers.

use super::Kernels;
use crate::int8::{Int8Input, Int8Range, Int8Rows};
use crate::output::Output;
use crate::packed::PackedWeight;
use std::ops::Range;

/// Kernels of int8 layers for one instruction set; weights are packed for [`Kernels::lanes`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Int8Kernels {
    pub(crate) quantize_row: unsafe fn(&[f32], &Int8Input, &mut [u8]) -> Int8Factor,
    pub(crate) multiply: unsafe fn(&Int8Task<'_>),
}

/// Some groups of an int8 weight times all rows of an int8 input.
pub(crate) struct Int8Task<'a> {
    pub(crate) weight: &'a PackedWeight,
    pub(crate) groups: Range<usize>,
    pub(crate) input: &'a Int8Rows,
    pub(crate) output: &'a Output<'a>,
}

/// What the codes of a row of input mean: a value is `scale · (code - zero)`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Int8Factor {
    /// The value of a step.
    pub(crate) scale: f32,
    /// The code of 0, 1…255.
    pub(crate) zero: i32,
}

impl Int8Factor {
    /// The code of 0 where the zero point is 0.
    const MIDDLE: i32 = 128;

    /// What codes mean in this range; `limits` gives the least and the greatest of the values and 0.
    #[inline(always)]
    pub(crate) fn of(range: Int8Range, limits: impl FnOnce() -> [f32; 2]) -> Self {
        match range {
            Int8Range::Tensor { scale, zero_point } => Self {
                scale,
                zero: zero_point + Self::MIDDLE,
            },
            Int8Range::Token { symmetric: true } => {
                let [least, greatest] = limits();
                Self {
                    scale: greatest.max(-least) / 127.0,
                    zero: Self::MIDDLE,
                }
            }
            Int8Range::Token { symmetric: false } => {
                let [least, greatest] = limits();
                let scale = (greatest - least) / 254.0;
                // So that the least value gets the lowest code.
                let zero = if scale > 0.0 {
                    -127.0 - least / scale
                } else {
                    0.0
                };
                Self {
                    scale,
                    zero: zero.round_ties_even() as i32 + Self::MIDDLE,
                }
            }
        }
    }

    /// What values are multiplied by to become steps; 0 where there is no step.
    #[inline(always)]
    pub(crate) fn inverse(self) -> f32 {
        if self.scale > 0.0 {
            1.0 / self.scale
        } else {
            0.0
        }
    }
}

impl Kernels {
    /// Rounds a row to as many codes; gives what they mean.
    pub(crate) fn int8_row(
        &self,
        source: &[f32],
        input: &Int8Input,
        codes: &mut [u8],
    ) -> Int8Factor {
        assert_eq!(source.len(), codes.len(), "a code for each value");
        let channels = input.multipliers().map_or(source.len(), <[f32]>::len);
        assert_eq!(channels, source.len(), "a factor for each channel");
        // SAFETY: the table is only handed out where its instruction set was detected; lengths were checked.
        unsafe { (self.int8.quantize_row)(source, input, codes) }
    }

    /// Runs an int8 task. Tasks that run at once must not share groups of one output.
    pub(crate) fn int8(&self, task: &Int8Task<'_>) {
        let input = [task.input.tokens(), task.input.columns()];
        self.check_product(task.weight, &task.groups, input, task.output);
        // SAFETY: detection as above; shapes were checked, and views of the weight check their own.
        unsafe { (self.int8.multiply)(task) }
    }
}
