//! StarCoder 2: layer norms, biases everywhere, a plain feed-forward part, a window in all layers.
//!
//! Lozhkov et al., arXiv:2402.19173. Reference: `Starcoder2ForCausalLM` of `transformers`.

use super::hugging_face::{HuggingFace, Windows};
use super::{Activation, Architecture, Bias, Biases, Norm, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// StarCoder 2.
#[derive(Clone, Copy, Debug)]
pub struct StarCoder2;

impl Architecture for StarCoder2 {
    fn names(&self) -> &[&str] {
        &["starcoder2"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let starcoder2 = HuggingFace::decoder(&["starcoder2"], &["Starcoder2ForCausalLM"])
            .layer_norms("norm_epsilon")
            .activation("hidden_act", &["gelu_pytorch_tanh"])
            .inert("activation_function")
            .inert("mlp_type")
            .inert("norm_type")
            .only("use_bias", &[true])
            .windows(Windows::All)
            .tied(true)
            .tensor("model.layers.{}.mlp.c_fc", "blk.{}.ffn_up")
            .tensor("model.layers.{}.mlp.c_proj", "blk.{}.ffn_down");
        vec![starcoder2]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let norm = Norm::layer(metadata, true)?;
        let mut spec = Spec::with_norm(metadata, RopePairing::Halves, norm)?;
        spec.biases = Biases::all(Bias::Always);
        spec.activation = Activation::GeluTanh;
        spec.without_gate();
        spec.read_window(metadata, None)?;
        Ok(spec)
    }
}
