//! The table of kernels: which function of which instruction set computes what.
//!
//! There is one static [`Kernels`] per set; a better set overrides entries and inherits the rest (`..BASE`).
//! An entry is a function with a safe signature and `#[target_feature]`. Such a function may be called only
//! on a machine that has the features, so the tables are private and [`Kernels::for_isa`], which looks at the
//! machine first, is the one way to a reference. With that, and with the lengths that the methods check, the
//! single `unsafe` call in each method is sound.

mod attention;
mod bf16;
mod int8;
mod linear;
mod pairs;
mod sparse;
mod state;
mod vector;

pub(crate) use attention::{Ahead, AttentionKernels, Softness};
pub(crate) use bf16::{Bf16Kernels, Bf16Task, Bf16Use};
pub(crate) use int8::{Int8Factor, Int8Kernels, Int8Task};
pub(crate) use linear::{FloatTask, LinearKernels, QuantizedTask};
pub(crate) use pairs::{LANES, LaneKernels, LaneStates, LaneWeights, PairKernels, Seen};
pub(crate) use sparse::{Expand, SparseKernels};
pub use state::{Memory, Scan, StateKernels};
pub use vector::{Activation, Angles, LayerNorm, VectorKernels};

#[cfg(target_arch = "aarch64")]
use crate::arm::{dotprod, neon};
use crate::limits::LimitKernels;
#[cfg(target_arch = "x86_64")]
use crate::x86::{amx, avx2, avx512};
use crate::{Isa, KernelError, KvType, scalar};

/// The kernels of one instruction set.
#[derive(Debug)]
pub struct Kernels {
    isa: Isa,
    /// Operations on rows of f32 values.
    pub vector: VectorKernels,
    linear: LinearKernels,
    bf16: Bf16Kernels,
    int8: Int8Kernels,
    sparse: fn() -> SparseKernels,
    attention: AttentionKernels,
    /// Steps of recurrent states.
    pub state: StateKernels,
    pub(crate) limits: LimitKernels,
}

static SCALAR: Kernels = SCALAR_TABLES;

const SCALAR_TABLES: Kernels = Kernels {
    isa: Isa::Scalar,
    vector: scalar::vector::TABLE,
    linear: scalar::linear::TABLE,
    bf16: scalar::bf16::TABLE,
    int8: scalar::int8::TABLE,
    sparse: scalar::sparse::kernels,
    attention: scalar::attention::TABLE,
    state: scalar::state::TABLE,
    limits: scalar::limits::TABLE,
};

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = Kernels {
    isa: Isa::Avx2,
    vector: avx2::vector::TABLE,
    linear: avx2::linear::TABLE,
    bf16: scalar::bf16::TABLE,
    int8: avx2::int8::TABLE,
    sparse: scalar::sparse::kernels,
    attention: avx2::attention::TABLE,
    state: avx2::state::TABLE,
    limits: avx2::limits::TABLE,
};

#[cfg(target_arch = "x86_64")]
static AVX512: Kernels = Kernels {
    isa: Isa::Avx512,
    vector: avx512::vector::TABLE,
    linear: avx512::linear::TABLE,
    bf16: scalar::bf16::TABLE,
    int8: avx512::int8::TABLE,
    sparse: avx512::linear::sparse::kernels,
    attention: avx512::attention::TABLE,
    state: avx512::state::TABLE,
    limits: avx512::limits::TABLE,
};

/// The same where the processor also multiplies pairs of bf16.
#[cfg(target_arch = "x86_64")]
static AVX512_BF16: Kernels = AVX512_BF16_TABLES;

#[cfg(target_arch = "x86_64")]
const AVX512_BF16_TABLES: Kernels = Kernels {
    isa: Isa::Avx512,
    vector: avx512::vector::TABLE,
    linear: avx512::linear::TABLE,
    bf16: avx512::bf16::TABLE,
    int8: avx512::int8::TABLE,
    sparse: avx512::linear::sparse::kernels,
    attention: avx512::attention_bf16::TABLE,
    state: avx512::state::TABLE,
    limits: avx512::limits::TABLE,
};

/// The same with weights of all types in bf16, as on AMX.
#[cfg(target_arch = "x86_64")]
static BF16: Kernels = Kernels {
    isa: Isa::Bf16,
    bf16: Bf16Kernels {
        used: Bf16Use::MANY,
        ..avx512::bf16::TABLE
    },
    ..AVX512_BF16_TABLES
};

/// Tiles are for the products of many rows; all else is as good on AVX-512.
#[cfg(target_arch = "x86_64")]
static AMX: Kernels = Kernels {
    bf16: amx::bf16::TABLE,
    ..AMX_REPRODUCIBLE_TABLES
};

/// The same without what gives other bits to many rows than to few: int8 tiles give the sums of AVX-512.
#[cfg(target_arch = "x86_64")]
static AMX_REPRODUCIBLE: Kernels = AMX_REPRODUCIBLE_TABLES;

#[cfg(target_arch = "x86_64")]
const AMX_REPRODUCIBLE_TABLES: Kernels = Kernels {
    isa: Isa::Amx,
    int8: amx::int8::TABLE,
    ..AVX512_BF16_TABLES
};

/// State steps and reading need nothing of their own: compilers use NEON for all of the program.
#[cfg(target_arch = "aarch64")]
static NEON: Kernels = NEON_TABLES;

#[cfg(target_arch = "aarch64")]
const NEON_TABLES: Kernels = Kernels {
    isa: Isa::Neon,
    vector: neon::vector::TABLE,
    linear: neon::linear::TABLE,
    int8: neon::int8::TABLE,
    attention: neon::attention::TABLE,
    ..SCALAR_TABLES
};

#[cfg(target_arch = "aarch64")]
static NEON_DOTPROD: Kernels = Kernels {
    isa: Isa::NeonDotprod,
    linear: dotprod::linear::TABLE,
    int8: dotprod::int8::TABLE,
    ..NEON_TABLES
};

impl Kernels {
    /// The kernels of the best set that this machine runs.
    pub fn best() -> &'static Kernels {
        Self::for_isa(Isa::detect()).unwrap_or(&SCALAR)
    }

    /// The kernels of a set.
    ///
    /// # Errors
    /// [`KernelError::IsaUnavailable`] if this machine lacks the set.
    pub fn for_isa(isa: Isa) -> Result<&'static Kernels, KernelError> {
        if !isa.is_available() {
            return Err(KernelError::IsaUnavailable { isa });
        }
        Ok(match isa {
            Isa::Scalar => &SCALAR,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &AVX2,
            #[cfg(target_arch = "x86_64")]
            Isa::Bf16 => &BF16,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if Isa::has_bf16_dot() => &AVX512_BF16,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &AVX512,
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => &AMX,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &NEON,
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod => &NEON_DOTPROD,
            #[allow(unreachable_patterns)]
            _ => return Err(KernelError::IsaUnavailable { isa }),
        })
    }

    /// The kernels of the same set that give a row the same bits, whatever number of rows share a pass.
    ///
    /// All do but those of sets that take many rows to bf16 and few to 8 bits: AMX.
    #[must_use]
    pub fn reproducible(&'static self) -> &'static Kernels {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Bf16 => &AVX512_BF16,
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => &AMX_REPRODUCIBLE,
            _ => self,
        }
    }

    /// The kernels of every set that a conformance test must cover, scalar first.
    ///
    /// # Errors
    /// If `DINO_REQUIRE_ISA` names a set that this machine lacks (see [`Isa::under_test`]).
    pub fn under_test() -> Result<Vec<&'static Kernels>, KernelError> {
        let sets = Isa::under_test()?.into_iter().map(Kernels::for_isa);
        #[cfg(target_arch = "x86_64")]
        // What machines without bf16 run, also where this one has it.
        let sets = sets.chain(Isa::has_bf16_dot().then_some(Ok(&AVX512)));
        sets.collect()
    }

    /// The type of 16 bits that attention over long texts is fastest with.
    pub fn kv_type(&self) -> KvType {
        match self.pairs() {
            Some(_) => KvType::Bf16,
            None => KvType::F16,
        }
    }

    /// The instruction set that these kernels need.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}
