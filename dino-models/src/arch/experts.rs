//! Mixtures of experts as files describe them.

use super::Spec;
use super::spec::{check, size};
use crate::ModelError;
use crate::format::Metadata;

/// A mixture of experts (Shazeer et al., arXiv:1701.06538; Fedus et al., arXiv:2101.03961).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experts {
    /// Experts of a layer.
    pub count: usize,
    /// How many of them a token goes through: those with the highest scores.
    pub used: usize,
    /// Features inside an expert.
    pub size: usize,
    /// What a score makes of an expert's chance.
    pub gating: Gating,
    /// Whether something is added to the chances before the best are chosen, which then count as they were (DeepSeek-V3,
    /// arXiv:2412.19437).
    pub preferred: bool,
    /// What each of them counts.
    pub shares: Shares,
    /// What that is multiplied by.
    pub scale: f32,
    /// The expert that every token goes through besides.
    pub shared: Option<SharedExpert>,
    /// Whether the scores and each expert's matrices have biases.
    pub biased: bool,
    /// How far gate and up may go, where they are limited.
    pub limit: Option<GateLimit>,
}

/// Gate and up kept within bounds: `min(gate, most) · sigmoid(slope · gate) · (1 + clamp(up, -most, most))`, instead of
/// the activation of the model (gpt-oss, arXiv:2508.10925).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateLimit {
    /// The greatest value.
    pub most: f32,
    /// What the gate is multiplied by in the sigmoid.
    pub slope: f32,
}

/// How likely an expert's score makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gating {
    /// The softmax over the scores of all experts.
    Softmax,
    /// The sigmoid of each score by itself.
    Sigmoid,
}

/// What each expert of a token counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shares {
    /// Its chance among all experts, or by itself.
    OfAll,
    /// Its chance among the chosen ones: they add up to one (Mixtral, arXiv:2401.04088).
    OfChosen,
}

/// An expert that every token goes through (Qwen2, arXiv:2407.10671).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedExpert {
    /// Features inside.
    pub size: usize,
    /// Whether its share is the sigmoid of a score of its own, and not one.
    pub gated: bool,
}

/// More experts than any layer has; a file that claims more is damaged.
const MAX_EXPERTS: usize = 1 << 14;

impl Experts {
    /// Reads the `expert_*` keys. Experts count as `shares` says, unless the file does.
    ///
    /// # Errors
    /// If a key is missing, impossible, or asks for another choice than the best by softmax or sigmoid.
    pub fn read(metadata: &Metadata, shares: Shares) -> Result<Self, ModelError> {
        let scoped = metadata.scoped()?;
        let (count, used) = (
            scoped.get("expert_count")?,
            scoped.get("expert_used_count")?,
        );
        let expected = format!("a positive number up to {MAX_EXPERTS}");
        let fits = (1..=MAX_EXPERTS).contains(&count);
        check(
            metadata,
            &scoped.key("expert_count"),
            count,
            fits,
            &expected,
        )?;
        let expected = format!("a positive number up to the {count} experts");
        let fits = (1..=count).contains(&used);
        check(
            metadata,
            &scoped.key("expert_used_count"),
            used,
            fits,
            &expected,
        )?;
        let gating = match scoped.maybe::<usize>("expert_gating_func")? {
            None | Some(1) => Gating::Softmax,
            Some(2) => Gating::Sigmoid,
            Some(other) => {
                return Err(ModelError::Unsupported {
                    file: metadata.file().to_owned(),
                    key: scoped.key("expert_gating_func"),
                    found: other.to_string(),
                });
            }
        };
        let own_size = scoped.value("expert_feed_forward_length").is_some();
        Ok(Self {
            count,
            used,
            size: match own_size {
                true => size(metadata, "expert_feed_forward_length")?,
                false => size(metadata, "feed_forward_length")?,
            },
            gating,
            preferred: false,
            scale: Spec::positive(metadata, "expert_weights_scale")?.unwrap_or(1.0),
            shares: match scoped.maybe("expert_weights_norm")? {
                None => shares,
                Some(true) => Shares::OfChosen,
                Some(false) => Shares::OfAll,
            },
            shared: None,
            biased: false,
            limit: None,
        })
    }

    /// With the shared expert of `expert_shared_feed_forward_length` features, if the file has one.
    ///
    /// # Errors
    /// If the key is impossible.
    pub fn with_shared(mut self, metadata: &Metadata, gated: bool) -> Result<Self, ModelError> {
        let key = "expert_shared_feed_forward_length";
        if metadata.scoped()?.value(key).is_some() {
            let size = size(metadata, key)?;
            self.shared = Some(SharedExpert { size, gated });
        }
        Ok(self)
    }
}
