//! Hugging Face folders of encoders; `modules` reads what the library sentence-transformers puts around them.
//!
//! Names of tensors and keys are those of `BertModel`, `RobertaModel`, `XLMRobertaModel`, `DistilBertModel` and
//! `NomicBertModel` of `transformers`.

use crate::ModelError;
use crate::arch::{Change, HuggingFace, Translation};
use crate::format::Metadata;

/// What the folders of encoders look like.
pub(crate) fn hugging_face() -> Vec<HuggingFace> {
    let bert = bert_like(
        &["bert"],
        &["BertModel", "BertForMaskedLM", "BertForPreTraining"],
    );
    let roberta = bert_like(&["roberta"], &["RobertaModel", "RobertaForMaskedLM"]);
    let classes = &["XLMRobertaModel", "XLMRobertaForMaskedLM"];
    let xlm_roberta = bert_like(&["xlm-roberta"], classes);
    vec![
        bert.prefix("bert.", "")
            .then(|translation| positions(translation, 0)),
        behind_padding(roberta.prefix("roberta.", "")),
        behind_padding(xlm_roberta.prefix("roberta.", "")),
        distilbert(),
        nomic_bert(),
    ]
}

/// What all share.
fn encoder(model_types: &[&'static str], classes: &[&'static str]) -> HuggingFace {
    const UNUSED: [&str; 7] = [
        // Training, and heads that are not read.
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "classifier_dropout",
        "tie_word_embeddings",
        "output_past",
        "is_encoder_decoder",
        "cross_attention_hidden_size",
    ];
    let encoder = HuggingFace::new(model_types, classes)
        .key("vocab_size", "vocab_size")
        .optional("type_vocab_size", "type_vocab_size")
        .only("is_decoder", &[false])
        .only("add_cross_attention", &[false])
        .only("position_embedding_type", &["absolute"])
        .then(|translation| translation.set_from("model_type", "attention.causal", false))
        .tensor("embeddings.word_embeddings", "token_embd")
        .tensor("embeddings.position_embeddings", "position_embd")
        .tensor("embeddings.token_type_embeddings", "token_types")
        .tensor("embeddings.LayerNorm", "token_embd_norm")
        .ignore("embeddings.position_ids")
        // What guesses masked tokens, and what was trained to tell whether two texts follow one another.
        .other_part("cls.")
        .other_part("lm_head.");
    UNUSED.into_iter().fold(encoder, HuggingFace::inert)
}

/// BERT and RoBERTa.
fn bert_like(model_types: &[&'static str], classes: &[&'static str]) -> HuggingFace {
    // Of a part behind the encoder that is not read.
    const UNUSED: [&str; 6] = [
        "directionality",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
    ];
    let model = encoder(model_types, classes)
        .key("hidden_size", "embedding_length")
        .key("num_hidden_layers", "block_count")
        .key("num_attention_heads", "attention.head_count")
        .key("intermediate_size", "feed_forward_length")
        .key("layer_norm_eps", "attention.layer_norm_epsilon")
        .only("hidden_act", &["gelu"])
        .named("bert")
        .ignore("pooler.dense")
        .tensor("encoder.layer.{}.attention.self.query", "blk.{}.attn_q")
        .tensor("encoder.layer.{}.attention.self.key", "blk.{}.attn_k")
        .tensor("encoder.layer.{}.attention.self.value", "blk.{}.attn_v")
        .tensor(
            "encoder.layer.{}.attention.output.dense",
            "blk.{}.attn_output",
        )
        .tensor(
            "encoder.layer.{}.attention.output.LayerNorm",
            "blk.{}.attn_output_norm",
        )
        .tensor("encoder.layer.{}.intermediate.dense", "blk.{}.ffn_up")
        .tensor("encoder.layer.{}.output.dense", "blk.{}.ffn_down")
        .tensor(
            "encoder.layer.{}.output.LayerNorm",
            "blk.{}.layer_output_norm",
        );
    UNUSED.into_iter().fold(model, HuggingFace::inert)
}

fn distilbert() -> HuggingFace {
    const UNUSED: [&str; 4] = [
        "dropout",
        "qa_dropout",
        "seq_classif_dropout",
        // How the table of positions was made, which is stored.
        "sinusoidal_pos_embds",
    ];
    let classes = &["DistilBertModel", "DistilBertForMaskedLM"];
    let model = encoder(&["distilbert"], classes)
        .key("dim", "embedding_length")
        .key("n_layers", "block_count")
        .key("n_heads", "attention.head_count")
        .key("hidden_dim", "feed_forward_length")
        .only("activation", &["gelu"])
        .then(|translation| positions(translation, 0))
        .then(|translation| {
            // A number of the reference's code.
            translation.set_from("model_type", "attention.layer_norm_epsilon", 1e-12)
        })
        .named("bert")
        .prefix("distilbert.", "")
        .other_part("vocab_")
        .tensor("transformer.layer.{}.attention.q_lin", "blk.{}.attn_q")
        .tensor("transformer.layer.{}.attention.k_lin", "blk.{}.attn_k")
        .tensor("transformer.layer.{}.attention.v_lin", "blk.{}.attn_v")
        .tensor(
            "transformer.layer.{}.attention.out_lin",
            "blk.{}.attn_output",
        )
        .tensor(
            "transformer.layer.{}.sa_layer_norm",
            "blk.{}.attn_output_norm",
        )
        .tensor("transformer.layer.{}.ffn.lin1", "blk.{}.ffn_up")
        .tensor("transformer.layer.{}.ffn.lin2", "blk.{}.ffn_down")
        .tensor(
            "transformer.layer.{}.output_layer_norm",
            "blk.{}.layer_output_norm",
        );
    UNUSED.into_iter().fold(model, HuggingFace::inert)
}

/// Nomic BERT, as `transformers` saves its configuration, with the tensors of either naming.
fn nomic_bert() -> HuggingFace {
    encoder(&["nomic_bert"], &["NomicBertModel", "NomicBertForMaskedLM"])
        .key("hidden_size", "embedding_length")
        .key("num_hidden_layers", "block_count")
        .key("num_attention_heads", "attention.head_count")
        .optional_as(
            "head_dim",
            &["attention.key_length", "attention.value_length"],
        )
        .key("intermediate_size", "feed_forward_length")
        .key("layer_norm_eps", "attention.layer_norm_epsilon")
        .key("max_position_embeddings", "context_length")
        .only("hidden_act", &["silu"])
        .rotary()
        .named("nomic-bert")
        .prefix("nomic_bert.", "")
        .tensor("emb_ln", "token_embd_norm")
        .tensor("encoder.layers.{}.attn.Wqkv", "blk.{}.attn_qkv")
        .tensor("encoder.layers.{}.attn.out_proj", "blk.{}.attn_output")
        .tensor("encoder.layers.{}.norm1", "blk.{}.attn_output_norm")
        .tensor("encoder.layers.{}.mlp.fc11", "blk.{}.ffn_up")
        .tensor("encoder.layers.{}.mlp.fc12", "blk.{}.ffn_gate")
        .tensor("encoder.layers.{}.mlp.fc2", "blk.{}.ffn_down")
        .tensor("encoder.layers.{}.norm2", "blk.{}.layer_output_norm")
        .tensor("layers.{}.self_attn.q_proj", "blk.{}.attn_q")
        .tensor("layers.{}.self_attn.k_proj", "blk.{}.attn_k")
        .tensor("layers.{}.self_attn.v_proj", "blk.{}.attn_v")
        .tensor("layers.{}.self_attn.o_proj", "blk.{}.attn_output")
        .tensor(
            "layers.{}.post_attention_layernorm",
            "blk.{}.attn_output_norm",
        )
        .tensor("layers.{}.mlp.up_proj", "blk.{}.ffn_up")
        .tensor("layers.{}.mlp.gate_proj", "blk.{}.ffn_gate")
        .tensor("layers.{}.mlp.down_proj", "blk.{}.ffn_down")
        .tensor("layers.{}.post_mlp_layernorm", "blk.{}.layer_output_norm")
}

/// RoBERTa's positions: those up to the one of the padding token belong to no token.
fn behind_padding(model: HuggingFace) -> HuggingFace {
    model
        .then(|translation| {
            let padding: usize = translation.config.get("pad_token_id")?;
            positions(translation, padding.saturating_add(1))
        })
        .change("position_embd.weight", Change::Rows(last_positions))
}

/// Positions that tokens can have: all but the first `unused`.
fn positions(translation: &mut Translation<'_>, unused: usize) -> Result<(), ModelError> {
    const KEY: &str = "max_position_embeddings";
    let all: usize = translation.config.get(KEY)?;
    translation.set_from(KEY, "context_length", all.saturating_sub(unused))
}

/// As many of the last rows as a text may have tokens.
fn last_positions(metadata: &Metadata, rows: usize) -> Result<Vec<usize>, ModelError> {
    let used: usize = metadata.scoped()?.get("context_length")?;
    Ok((rows.saturating_sub(used)..rows).collect())
}
