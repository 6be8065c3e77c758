//! Tokens with a role: what begins, ends and fills a text.

use serde_json::Value as Json;

use super::super::pipeline::Frame;
use super::vocabulary::Vocabulary;
use crate::format::Metadata;

/// Puts the roles that `frame`, `tokenizer_config.json` and `generation_config.json` give into `metadata`.
pub(super) fn write(
    vocabulary: &Vocabulary,
    frame: &Frame,
    config: &Json,
    generation: &Json,
    metadata: &mut Metadata,
) {
    let named = |key: &str| {
        let token = &config[key];
        let text = token.as_str().or_else(|| token["content"].as_str());
        text.and_then(|text| vocabulary.id(text))
    };
    let single = |ids: &[u32]| match ids {
        [id] => Some(*id),
        _ => None,
    };
    let (first, last) = (single(&frame.before), single(&frame.behind));
    for (key, role, framed) in [
        ("tokenizer.ggml.add_bos_token", "bos", first),
        ("tokenizer.ggml.add_eos_token", "eos", last),
    ] {
        let id = framed.or_else(|| named(&format!("{role}_token")));
        let stated = config[format!("add_{role}_token")] == true;
        metadata.insert(key, framed.is_some() || stated && id.is_some());
    }
    if let Some(bos) = first.or_else(|| named("bos_token")) {
        metadata.insert("tokenizer.ggml.bos_token_id", bos);
    }
    let mut ends: Vec<u32> = last.or_else(|| named("eos_token")).into_iter().collect();
    let listed = &generation["eos_token_id"];
    let listed = listed
        .as_array()
        .map_or(std::slice::from_ref(listed), Vec::as_slice);
    for end in listed.iter().filter_map(Json::as_u64) {
        let end = u32::try_from(end).ok();
        ends.extend(end.filter(|end| !ends.contains(end)));
    }
    let keys = ["eos", "eot", "eom"].map(|role| format!("tokenizer.ggml.{role}_token_id"));
    for (key, end) in keys.into_iter().zip(ends) {
        metadata.insert(key, end);
    }
    if let Some(pad) = named("pad_token") {
        metadata.insert("tokenizer.ggml.padding_token_id", pad);
    }
}
