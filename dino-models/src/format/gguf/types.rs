//! The numbers of tensor types that GGUF files may hold and that are not read here.

/// The name of a type that [`DType`](dino_core::DType) does not list
/// (<https://github.com/ggml-org/ggml/blob/master/include/ggml.h>, `enum ggml_type`).
pub(super) fn unread_name(number: u32) -> Option<&'static str> {
    Some(match number {
        4 => "Q4_2, no longer in use",
        5 => "Q4_3, no longer in use",
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31 => "Q4_0_4_4, no longer in use",
        32 => "Q4_0_4_8, no longer in use",
        33 => "Q4_0_8_8, no longer in use",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36 => "IQ4_NL_4_4, no longer in use",
        37 => "IQ4_NL_4_8, no longer in use",
        38 => "IQ4_NL_8_8, no longer in use",
        40 => "NVFP4",
        41 => "Q1_0",
        _ => return None,
    })
}
