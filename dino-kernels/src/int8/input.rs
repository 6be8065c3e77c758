//! How the input of an int8 layer is rounded.

/// Where the scale of a row comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Int8Range {
    /// *Dynamic*: from the least and greatest value of each token.
    Token {
        /// Whether the range is the same on both sides of 0; otherwise it lies where the values are.
        symmetric: bool,
    },
    /// *Static*: the same for all tokens, found by calibration. What lies outside is cut off.
    Tensor {
        /// The value of a step.
        scale: f32,
        /// The code of the value 0, -127…127; 0 is symmetric.
        zero_point: i32,
    },
}

/// How the input of an int8 layer is rounded: what its channels are divided by first, and where its scale comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8Input {
    range: Int8Range,
    /// What each channel is multiplied by: 1 / what it is divided by.
    multipliers: Option<Vec<f32>>,
}

impl Default for Int8Input {
    /// Symmetric, with a scale for each token.
    fn default() -> Self {
        Self::new(Int8Range::Token { symmetric: true })
    }
}

impl Int8Input {
    /// Rows as they are.
    ///
    /// # Panics
    /// If a fixed scale is not a positive number, or a zero point is no code.
    pub fn new(range: Int8Range) -> Self {
        if let Int8Range::Tensor { scale, zero_point } = range {
            let fits = scale > 0.0 && scale.is_finite() && (1.0 / scale).is_finite();
            assert!(fits, "a scale of {scale}");
            assert!(
                (-127..=127).contains(&zero_point),
                "a zero point of {zero_point}"
            );
        }
        Self {
            range,
            multipliers: None,
        }
    }

    /// Divides each channel by its factor first, `[in_features]`. The weight's columns must be multiplied by them
    /// ([`PackedWeight::pack_int8`](crate::PackedWeight::pack_int8)): SmoothQuant (Xiao et al., arXiv:2211.10438).
    ///
    /// # Panics
    /// If a factor is not a positive number.
    #[must_use]
    pub fn smooth(self, factors: &[f32]) -> Self {
        let multiplier = |factor: &f32| {
            let multiplier = 1.0 / factor;
            let fits = *factor > 0.0 && factor.is_finite() && multiplier.is_finite();
            assert!(fits, "a factor of {factor}");
            multiplier
        };
        Self {
            multipliers: Some(factors.iter().map(multiplier).collect()),
            ..self
        }
    }

    /// Where the scale comes from.
    pub fn range(&self) -> Int8Range {
        self.range
    }

    /// What each channel is multiplied by.
    pub(crate) fn multipliers(&self) -> Option<&[f32]> {
        self.multipliers.as_deref()
    }
}
