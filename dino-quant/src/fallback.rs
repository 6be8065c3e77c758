//! What a row can be stored as.

use dino_core::DType;

/// `dtype`, or the type to take in its place where rows of `columns` values are no whole number of its blocks.
///
/// What has blocks of 256 gives way to the nearest type with blocks of 32 that loses no more, the same that llama.cpp
/// takes; what fits no block at all is held as F16.
///
/// ```
/// use dino_core::DType;
/// use dino_quant::storable;
///
/// assert_eq!(storable(DType::Q4_K, 1536), DType::Q4_K);
/// assert_eq!(storable(DType::Q4_K, 576), DType::Q5_0);
/// assert_eq!(storable(DType::Q8_0, 50), DType::F16);
/// ```
pub fn storable(dtype: DType, columns: usize) -> DType {
    let fits = |dtype: DType| columns.is_multiple_of(dtype.block_len());
    if fits(dtype) {
        return dtype;
    }
    let narrow = match dtype {
        DType::Q2_K | DType::Q3_K | DType::IQ4_XS => DType::IQ4_NL,
        DType::Q4_K => DType::Q5_0,
        DType::Q5_K => DType::Q5_1,
        DType::Q6_K => DType::Q8_0,
        _ => DType::F16,
    };
    if fits(narrow) { narrow } else { DType::F16 }
}
