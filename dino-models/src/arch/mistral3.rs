//! Ministral 3: a llama whose queries grow with their positions, so that they still find what they look for in a long text.
//!
//! Mistral AI, 2025; the growth is that of Llama 4 (Nakanishi, "Scalable-Softmax", arXiv:2501.19399, is akin to it).
//! References: `Ministral3ForCausalLM`, and the text part of `Mistral3ForConditionalGeneration`, of `transformers`.

use super::hugging_face::{HuggingFace, Translation, Windows};
use super::{Architecture, QueryGrowth, RopePairing, Spec};
use crate::ModelError;
use crate::format::Metadata;

/// Ministral 3.
#[derive(Clone, Copy, Debug)]
pub struct Mistral3;

impl Architecture for Mistral3 {
    fn names(&self) -> &[&str] {
        &["mistral3"]
    }

    fn hugging_face(&self) -> Vec<HuggingFace> {
        let text = family(&["ministral3"], &["Ministral3ForCausalLM"]);
        let seeing = family(&["mistral3"], &["Mistral3ForConditionalGeneration"]);
        vec![text, text_part(seeing)]
    }

    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        let mut spec = Spec::decoder(metadata, RopePairing::Interleaved)?;
        spec.read_window(metadata, None)?;
        if let Some(rate) = Spec::positive(metadata, "attention.temperature_scale")? {
            let every = spec.rope.original_context;
            spec.query_growth = Some(QueryGrowth { rate, every });
        }
        Ok(spec)
    }
}

/// Folders of both.
fn family(model_types: &[&'static str], classes: &[&'static str]) -> HuggingFace {
    HuggingFace::decoder(model_types, classes)
        .windows(Windows::All)
        .then(growth)
        .interleaved()
}

/// The text part of one that also sees. Those of Mistral Small 3 have another one, which says so by its type.
fn text_part(model: HuggingFace) -> HuggingFace {
    const OTHERS: [&str; 8] = [
        "vision_config",
        "image_token_id",
        "image_token_index",
        "multimodal_projector_bias",
        "projector_hidden_act",
        "spatial_merge_size",
        // The text part says it of itself.
        "tie_word_embeddings",
        "vision_feature_layer",
    ];
    let model = model
        .nested("text_config")
        .only("model_type", &["ministral3"])
        .beside_vision();
    OTHERS.into_iter().fold(model, HuggingFace::inert)
}

/// How queries grow; without a word about rotation `transformers` has numbers of its own for both.
fn growth(translation: &mut Translation<'_>) -> Result<(), ModelError> {
    const KEY: &str = "rope_parameters.llama_4_scaling_beta";
    // Says again how long the context is.
    translation
        .config
        .value("rope_parameters.max_position_embeddings");
    if !translation.config.has_object("rope_parameters") {
        let expected = "how positions are rotated, and queries grow";
        return Err(translation.impossible("rope_parameters", "missing", expected));
    }
    let rate: f64 = translation.config.get(KEY)?;
    translation.set_from(KEY, "attention.temperature_scale", rate)
}
