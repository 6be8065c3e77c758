//! GPT-NeoX and Pythia: parallel parts with a norm each, heads that rotate in part, biases everywhere.
//!
//! Black et al., arXiv:2204.06745; Biderman et al., arXiv:2304.01373. Reference: `GPTNeoXForCausalLM` of `transformers`.

use super::hugging_face::{Change, HuggingFace, Translation};
use super::{Activation, Architecture, Bias, Biases, Matrices, Norm, Norms, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// GPT-NeoX and Pythia.
#[derive(Clone, Copy, Debug)]
pub struct GptNeoX;

impl Architecture for GptNeoX {
    fn names(&self) -> &[&str] {
        &["gptneox"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let gpt_neox = HuggingFace::decoder(&["gpt_neox"], &["GPTNeoXForCausalLM"])
            .rotated_part(0.25)
            .layer_norms("layer_norm_eps")
            .activation("hidden_act", &["gelu"])
            .optional("use_parallel_residual", "use_parallel_residual")
            .only("attention_bias", &[true])
            .inert("is_decoder")
            .then(rotation)
            .prefix("gpt_neox.", "model.")
            .tensor("model.embed_in", "token_embd")
            .tensor("model.final_layer_norm", "output_norm")
            .tensor("embed_out", "output")
            .tensor(
                "model.layers.{}.attention.query_key_value",
                "blk.{}.attn_qkv",
            )
            .tensor("model.layers.{}.attention.dense", "blk.{}.attn_output")
            .ignore("model.layers.{}.attention.bias")
            .ignore("model.layers.{}.attention.masked_bias")
            .ignore("model.layers.{}.attention.rotary_emb.inv_freq")
            .tensor("model.layers.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up")
            .tensor("model.layers.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down")
            .change("attn_qkv.weight", Change::Rows(queries_first))
            .change("attn_qkv.bias", Change::Rows(queries_first));
        vec![gpt_neox]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.matrices = Matrices::Fused;
        spec.biases = Biases::all(Bias::Always);
        spec.activation = Activation::GeluErf;
        spec.without_gate();
        if metadata.scoped()?.maybe("use_parallel_residual")? != Some(false) {
            spec.norms = Norms::Parallel;
        }
        Ok(spec)
    }
}

/// How old configurations call the rotated part of a head and the base.
fn rotation(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    if let Some(base) = translation.config.maybe::<f32>("rotary_emb_base")? {
        translation.set_from("rotary_emb_base", "rope.freq_base", base)?;
    }
    let Some(part) = translation.config.maybe::<f64>("rotary_pct")? else {
        return Ok(());
    };
    let hidden: usize = translation.config.get("hidden_size")?;
    let heads: usize = translation.config.get("num_attention_heads")?;
    // As Python truncates.
    let rotated = ((hidden / heads.max(1)) as f64 * part) as usize;
    translation.set_from("rotary_pct", "rope.dimension_count", rotated)
}

/// Folders hold query, key and value of one head after those of another.
fn queries_first(metadata: &Metadata, rows: usize) -> Result<Vec<usize>, ModelError> {
    let heads: usize = metadata.scoped()?.get("attention.head_count")?;
    let size = rows / heads.max(1) / 3;
    // Where the rows do not fit the heads they stay: the loader says then what is wrong with the shape.
    if size * heads * 3 != rows {
        return Ok((0..rows).collect());
    }
    let row = |part: usize, head: usize| {
        let first = (3 * head + part) * size;
        first..first + size
    };
    let parts = (0..3).flat_map(|part| (0..heads).map(move |head| (part, head)));
    Ok(parts.flat_map(|(part, head)| row(part, head)).collect())
}
