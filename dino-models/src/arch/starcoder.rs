//! StarCoder and SantaCoder: a GPT-2 with one key and value for all heads.
//!
//! Li et al., arXiv:2305.06161. Reference: `GPTBigCodeForCausalLM` of `transformers`.

use super::hugging_face::HuggingFace;
use super::{Architecture, Gpt2, Spec, gpt2};
use crate::ModelError;
use crate::format::Metadata;

/// StarCoder.
#[derive(Clone, Copy, Debug)]
pub struct StarCoder;

impl Architecture for StarCoder {
    fn names(&self) -> &[&str] {
        &["starcoder"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let starcoder = gpt2::family(&["gpt_bigcode"], &["GPTBigCodeForCausalLM"])
            .only("multi_query", &[true])
            // It follows from that.
            .inert("num_key_value_heads")
            .inert("attention_softmax_in_fp32")
            .inert("scale_attention_softmax_in_fp32")
            .then(|translation| {
                translation.set_from("multi_query", "attention.head_count_kv", 1_u32)
            });
        vec![starcoder]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        Gpt2.spec(metadata)
    }
}
