//! The instruction sets, and which of them this machine runs.

use crate::KernelError;
use std::fmt;

/// A set of instructions that kernels are written for, in the order in which they are preferred.
///
/// Each set includes those before it that the same processors have, so a table may inherit their kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust, on any processor.
    Scalar,
    /// x86-64 with AVX2, FMA, F16C, BMI1 and BMI2 (2013 and later).
    Avx2,
    /// [`Isa::Avx512`] with BF16, and with products of many rows as [`Isa::Amx`] takes them, weights of all types in bf16.
    ///
    /// VNNI is faster, so it is never chosen by itself: it shows on other machines what numbers AMX gives.
    Bf16,
    /// AVX-512 F, BW, DQ, VL and VNNI (2019 and later), and what there is of BF16.
    Avx512,
    /// The above with BF16 and AMX tiles of bf16 and bytes (2023 and later), where the system lets a process use them.
    Amx,
    /// 64-bit Arm with NEON: all of them.
    Neon,
    /// The above with dot products of bytes (most processors since 2018).
    NeonDotprod,
}

impl Isa {
    /// Every set, the plainest first.
    pub const ALL: [Isa; 7] = [
        Isa::Scalar,
        Isa::Avx2,
        Isa::Bf16,
        Isa::Avx512,
        Isa::Amx,
        Isa::Neon,
        Isa::NeonDotprod,
    ];

    /// The name that `DINO_ISA` takes, e.g. `"avx2"`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Bf16 => "bf16",
            Isa::Avx512 => "avx512",
            Isa::Amx => "amx",
            Isa::Neon => "neon",
            Isa::NeonDotprod => "neon-dotprod",
        }
    }

    /// The sets that this machine runs, the plainest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The best set that this machine runs.
    pub fn detect() -> Isa {
        Isa::available().last().unwrap_or(Isa::Scalar)
    }

    /// The set that `DINO_ISA` names, or else the best one.
    ///
    /// # Errors
    /// If `DINO_ISA` names no set, or one that this machine lacks.
    pub fn from_env() -> Result<Isa, KernelError> {
        match Self::listed_in("DINO_ISA")?.last() {
            Some(&isa) if isa.is_available() => Ok(isa),
            Some(&isa) => Err(KernelError::IsaUnavailable { isa }),
            None => Ok(Isa::detect()),
        }
    }

    /// The sets that a conformance test must cover: all that this machine runs.
    ///
    /// # Errors
    /// If `DINO_REQUIRE_ISA` (names with commas between them) holds one that this machine lacks, or an
    /// unknown one. A test fails on this error, so that no set goes untested unnoticed.
    pub fn under_test() -> Result<Vec<Isa>, KernelError> {
        let required = Self::listed_in("DINO_REQUIRE_ISA")?;
        match required.into_iter().find(|isa| !isa.is_available()) {
            Some(isa) => Err(KernelError::IsaUnavailable { isa }),
            None => Ok(Isa::available().collect()),
        }
    }

    /// Whether this machine runs the set.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Bf16 => Isa::has_bf16_dot(),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Isa::has_bf16_dot() && crate::x86::amx::tiles::are_available(),
            // Kernels take the bytes of words in the order of the packed layout.
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod => {
                Isa::Neon.is_available() && std::arch::is_aarch64_feature_detected!("dotprod")
            }
            // The sets of other processors.
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// Whether this machine also multiplies pairs of bf16 (AVX-512 BF16).
    ///
    /// Some processors of [`Isa::Avx512`] do, others do not, so it is no set of its own.
    pub fn has_bf16_dot() -> bool {
        #[cfg(target_arch = "x86_64")]
        return Isa::Avx512.is_available() && is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// The names of `sets` for a message.
    pub(crate) fn names(sets: &[Isa]) -> String {
        sets.iter()
            .map(|isa| isa.name())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The sets named in an environment variable, none where it is unset or empty.
    fn listed_in(variable: &'static str) -> Result<Vec<Isa>, KernelError> {
        let value = std::env::var_os(variable).unwrap_or_default();
        Self::parse_list(variable, &value.to_string_lossy())
    }

    fn parse_list(variable: &'static str, value: &str) -> Result<Vec<Isa>, KernelError> {
        let names = value.split(',').map(str::trim).filter(|s| !s.is_empty());
        names
            .map(|name| {
                let found = Isa::ALL
                    .into_iter()
                    .find(|isa| isa.name().eq_ignore_ascii_case(name));
                found.ok_or_else(|| KernelError::UnknownIsa {
                    variable,
                    name: name.to_owned(),
                })
            })
            .collect()
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_set_is_the_last_available_one() {
        assert_eq!(Isa::available().next(), Some(Isa::Scalar));
        assert_eq!(Isa::available().last(), Some(Isa::detect()));
        assert!(Isa::available().is_sorted());
    }

    #[test]
    fn lists_are_read_and_unknown_names_refused() {
        let read = |value| Isa::parse_list("DINO_REQUIRE_ISA", value);
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read(" avx2, AVX512").unwrap(), [Isa::Avx2, Isa::Avx512]);
        let message = read("avx3").unwrap_err().to_string();
        assert_eq!(
            message,
            "DINO_REQUIRE_ISA=avx3: no such instruction set; known are scalar, avx2, bf16, avx512, amx, neon, neon-dotprod"
        );
    }
}
