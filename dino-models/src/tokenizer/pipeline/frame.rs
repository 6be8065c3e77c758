//! The tokens that a post-processor puts before and behind a text.

use serde_json::Value as Json;

use super::super::TokenizerError;
use super::{parts, unsupported};

/// What comes before and behind a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Frame {
    pub(in super::super) before: Vec<u32>,
    pub(in super::super) behind: Vec<u32>,
}

impl Frame {
    pub(in super::super) fn read(json: &Json) -> Result<Self, TokenizerError> {
        let mut frame = Self::default();
        for part in parts(json, "processors") {
            let refused = || unsupported("post_processor", part);
            match part["type"].as_str() {
                Some("Sequence") => frame.surround(Self::read(part)?),
                Some("ByteLevel") => {}
                Some("TemplateProcessing") => {
                    frame.surround(Self::read_template(part).ok_or_else(refused)?);
                }
                Some("BertProcessing" | "RobertaProcessing") => frame.surround(Self {
                    before: vec![id(&part["cls"][1]).ok_or_else(refused)?],
                    behind: vec![id(&part["sep"][1]).ok_or_else(refused)?],
                }),
                _ => return Err(refused()),
            }
        }
        Ok(frame)
    }

    fn read_template(part: &Json) -> Option<Self> {
        let mut frame = Self::default();
        let mut seen = false;
        for piece in part["single"].as_array()? {
            let place = if seen {
                &mut frame.behind
            } else {
                &mut frame.before
            };
            if let Some(name) = piece["SpecialToken"]["id"].as_str() {
                let ids = part["special_tokens"][name]["ids"].as_array()?;
                place.extend(ids.iter().map(id).collect::<Option<Vec<_>>>()?);
            } else if piece["Sequence"]["id"] == "A" && !seen {
                seen = true;
            } else {
                return None;
            }
        }
        seen.then_some(frame)
    }

    /// Puts `outer` around it.
    fn surround(&mut self, outer: Self) {
        self.before.splice(..0, outer.before);
        self.behind.extend(outer.behind);
    }
}

fn id(json: &Json) -> Option<u32> {
    json.as_u64().and_then(|id| u32::try_from(id).ok())
}
