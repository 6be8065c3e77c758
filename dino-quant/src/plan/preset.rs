//! The mixtures that llama.cpp names, as its `llama-quantize` composes them.

use super::role::Role;
use dino_core::DType;

/// A mixture of types under the name that users of llama.cpp know.
///
/// Pure types have their own names, e.g. `Q4_0`; with those, too, the head is held as Q6_K (or Q8_0) unless
/// [`Rules::pure`](super::Rules::pure) is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, missing_docs)]
pub enum Preset {
    /// One type; the head more precise.
    Type(DType),
    Q2_K_S,
    Q2_K,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
}

/// What a preset looks at besides the role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) role: Role,
    /// The layer, and how many there are.
    pub(super) layer: usize,
    pub(super) layers: usize,
    /// Query heads for each head of keys and values.
    pub(super) sharing: usize,
    pub(super) experts: usize,
    /// Whether the encoder will know what is important.
    pub(super) has_importance: bool,
}

impl Place {
    /// The first and last eighth of the layers, and every third between.
    fn deserves_more(&self) -> bool {
        let eighth = self.layers / 8;
        let (i, n) = (self.layer, self.layers);
        i < eighth || i >= 7 * n / 8 || (i - eighth) % 3 == 2
    }

    fn in_first(&self, fraction: usize) -> bool {
        self.layer < self.layers / fraction
    }
}

const MIXTURES: [(&str, Preset); 12] = [
    ("Q2_K_S", Preset::Q2_K_S),
    ("Q2_K", Preset::Q2_K),
    ("Q3_K_S", Preset::Q3_K_S),
    ("Q3_K_M", Preset::Q3_K_M),
    ("Q3_K_L", Preset::Q3_K_L),
    ("Q4_K_S", Preset::Q4_K_S),
    ("Q4_K_M", Preset::Q4_K_M),
    ("Q5_K_S", Preset::Q5_K_S),
    ("Q5_K_M", Preset::Q5_K_M),
    // llama.cpp's short names.
    ("Q3_K", Preset::Q3_K_M),
    ("Q4_K", Preset::Q4_K_M),
    ("Q5_K", Preset::Q5_K_M),
];

impl Preset {
    /// The preset with this name, in either case: a mixture, or a type.
    pub fn from_name(name: &str) -> Option<Self> {
        let mixture = MIXTURES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        let mixture = mixture.map(|&(_, preset)| preset);
        mixture.or_else(|| DType::from_name(name).map(Self::Type))
    }

    /// The name, e.g. `"Q4_K_M"`.
    pub fn name(self) -> &'static str {
        if let Self::Type(dtype) = self {
            return dtype.name();
        }
        let known = MIXTURES.iter().find(|(_, preset)| *preset == self);
        known.map_or("", |(name, _)| name)
    }

    /// The names of all presets.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let types = DType::ALL.into_iter().map(DType::name);
        let mixtures = MIXTURES.iter().map(|(name, _)| *name);
        types
            .filter(|name| !MIXTURES.iter().any(|(mixture, _)| mixture == name))
            .chain(mixtures)
    }

    /// The type that most matrices have.
    pub fn base(self) -> DType {
        match self {
            Self::Type(dtype) => dtype,
            Self::Q2_K_S | Self::Q2_K => DType::Q2_K,
            Self::Q3_K_S | Self::Q3_K_M | Self::Q3_K_L => DType::Q3_K,
            Self::Q4_K_S | Self::Q4_K_M => DType::Q4_K,
            Self::Q5_K_S | Self::Q5_K_M => DType::Q5_K,
        }
    }

    /// `general.file_type`: llama.cpp's number for such a file.
    pub fn file_type(self) -> u32 {
        match self {
            Self::Type(dtype) => match dtype {
                DType::F32 => 0,
                DType::F16 => 1,
                DType::BF16 => 32,
                DType::Q4_0 => 2,
                DType::Q4_1 => 3,
                DType::Q5_0 => 8,
                DType::Q5_1 => 9,
                DType::Q8_0 => 7,
                DType::Q2_K => 10,
                DType::Q3_K => 11,
                DType::Q4_K => 14,
                DType::Q5_K => 16,
                DType::Q6_K => 18,
                DType::IQ4_NL => 25,
                DType::IQ4_XS => 30,
                DType::MXFP4 => 38,
                // One that tells nobody anything wrong: "guessed".
                _ => 1024,
            },
            Self::Q2_K => 10,
            Self::Q3_K_S => 11,
            Self::Q3_K_M => 12,
            Self::Q3_K_L => 13,
            Self::Q4_K_S => 14,
            Self::Q4_K_M => 15,
            Self::Q5_K_S => 16,
            Self::Q5_K_M => 17,
            Self::Q2_K_S => 21,
        }
    }

    /// The type of a matrix.
    pub(super) fn dtype(self, place: Place) -> DType {
        match place.role {
            Role::Head => match self.base() {
                dtype @ (DType::F32 | DType::F16 | DType::BF16 | DType::Q8_0) => dtype,
                DType::MXFP4 => DType::Q8_0,
                _ => DType::Q6_K,
            },
            Role::AttentionValue => self.attention_value(place),
            Role::AttentionOutput => match self {
                Self::Q2_K => DType::Q3_K,
                Self::Q3_K_M => DType::Q4_K,
                Self::Q3_K_L => DType::Q5_K,
                _ => self.base(),
            },
            Role::AttentionFused => match self {
                Self::Q3_K_M | Self::Q3_K_L => DType::Q4_K,
                Self::Q4_K_M => DType::Q5_K,
                Self::Q5_K_M => DType::Q6_K,
                _ => self.base(),
            },
            Role::Down => self.down(place),
            Role::Embedding | Role::Other => self.base(),
        }
    }

    fn attention_value(self, place: Place) -> DType {
        if place.experts == 8 {
            return DType::Q8_0;
        }
        match self {
            Self::Q2_K if place.sharing >= 4 => DType::Q4_K,
            Self::Q2_K => DType::Q3_K,
            Self::Q2_K_S if place.sharing >= 4 => DType::Q4_K,
            Self::Q3_K_M if place.layer < 2 => DType::Q5_K,
            Self::Q3_K_M => DType::Q4_K,
            Self::Q3_K_L => DType::Q5_K,
            Self::Type(DType::IQ4_NL | DType::IQ4_XS) if place.sharing >= 4 => DType::Q5_K,
            Self::Q4_K_M | Self::Q5_K_M if place.deserves_more() => DType::Q6_K,
            Self::Q4_K_S if place.layer < 4 => DType::Q5_K,
            _ => self.base(),
        }
    }

    fn down(self, place: Place) -> DType {
        match self {
            Self::Q2_K => DType::Q3_K,
            Self::Q2_K_S if place.in_first(8) => DType::Q4_K,
            Self::Q3_K_M if place.in_first(16) => DType::Q5_K,
            Self::Q3_K_M if !place.deserves_more() => DType::Q3_K,
            Self::Q3_K_M => DType::Q4_K,
            Self::Q3_K_L => DType::Q5_K,
            Self::Q4_K_M | Self::Q5_K_M if place.deserves_more() => DType::Q6_K,
            Self::Type(DType::IQ4_NL | DType::IQ4_XS)
                if !place.has_importance && place.in_first(8) =>
            {
                DType::Q5_K
            }
            Self::Q4_K_S if place.in_first(8) => DType::Q5_K,
            Self::Type(DType::Q4_0) if place.has_importance && place.in_first(8) => DType::Q4_1,
            Self::Type(DType::Q5_0) if place.has_importance && place.in_first(8) => DType::Q5_1,
            _ => self.base(),
        }
    }
}
