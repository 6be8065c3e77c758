//! What a user asks for.

use super::preset::Place;
use super::role::Role;
use super::{Plan, PlanError, Preset, TensorFacts, is_quantizable};
use crate::storable;
use dino_core::DType;
use regex_automata::meta::Regex;
use std::str::FromStr;

/// Tensors whose names match a regular expression somewhere, and their type.
#[derive(Clone, Debug)]
pub struct Override {
    pattern: Regex,
    dtype: DType,
}

impl FromStr for Override {
    type Err = PlanError;

    /// From `REGEX=TYPE`, e.g. `attn_v=Q6_K`.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let wrong = || PlanError::Override(text.into());
        let (pattern, dtype) = text.rsplit_once('=').ok_or_else(wrong)?;
        let dtype = DType::from_name(dtype).ok_or_else(wrong)?;
        let pattern = Regex::new(pattern).map_err(|error| PlanError::Pattern {
            pattern: pattern.into(),
            message: error.to_string(),
        })?;
        Ok(Self { pattern, dtype })
    }
}

/// A preset and exceptions from it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What holds for all tensors that nothing else is said of.
    pub preset: Preset,
    /// Stores all matrices as the preset's base type.
    pub pure: bool,
    /// The type of `output.weight`, or of the embedding table where it is the head, too.
    pub output: Option<DType>,
    /// The type of `token_embd.weight`.
    pub embedding: Option<DType>,
    /// Exceptions by name; the first that matches holds.
    pub overrides: Vec<Override>,
    /// Whether the encoder will know what is important.
    pub has_importance: bool,
}

/// A tensor whose rows do not fit the type that it was to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Its name.
    pub tensor: String,
    /// Values in a row.
    pub columns: usize,
    /// The type that it was to have.
    pub wanted: DType,
    /// The type that it has instead.
    pub stored: DType,
}

impl Rules {
    /// A preset without exceptions.
    pub fn new(preset: Preset) -> Self {
        Self {
            preset,
            pure: false,
            output: None,
            embedding: None,
            overrides: Vec::new(),
            has_importance: false,
        }
    }

    /// The type of each of the `tensors` that is quantized, and where it is another than was wanted.
    pub fn plan(&self, tensors: &[TensorFacts]) -> (Plan, Vec<Fallback>) {
        let facts = Facts::of(tensors);
        let (mut plan, mut fallbacks) = (Plan::new(self.preset.name()), Vec::new());
        for tensor in tensors.iter().filter(|tensor| is_quantizable(tensor)) {
            let wanted = self.wanted(tensor, &facts);
            let stored = storable(wanted, tensor.columns());
            if stored != wanted {
                fallbacks.push(Fallback {
                    tensor: tensor.name.clone(),
                    columns: tensor.columns(),
                    wanted,
                    stored,
                });
            }
            plan.set(&tensor.name, stored);
        }
        (plan, fallbacks)
    }

    fn wanted(&self, tensor: &TensorFacts, facts: &Facts) -> DType {
        let matches = |rule: &&Override| rule.pattern.is_match(&tensor.name);
        if let Some(rule) = self.overrides.iter().find(matches) {
            return rule.dtype;
        }
        let role = Role::of(tensor, facts.has_head);
        let is_table = tensor.name == "token_embd.weight";
        let named = match role {
            Role::Head if is_table => self.output.or(self.embedding),
            Role::Head => self.output,
            Role::Embedding => self.embedding,
            _ => None,
        };
        let preset = || {
            self.preset.dtype(Place {
                role,
                layer: tensor.layer().unwrap_or(0),
                layers: facts.layers,
                sharing: facts.sharing,
                experts: facts.experts,
                has_importance: self.has_importance,
            })
        };
        named.unwrap_or_else(|| {
            if self.pure {
                self.preset.base()
            } else {
                preset()
            }
        })
    }
}

/// What the tensors tell of the model.
struct Facts {
    has_head: bool,
    layers: usize,
    /// Query heads for each head of keys and values.
    sharing: usize,
    experts: usize,
}

impl Facts {
    fn of(tensors: &[TensorFacts]) -> Self {
        let find = |name: &str| tensors.iter().find(|tensor| tensor.name.ends_with(name));
        let rows = |name| find(name).map_or(1, |tensor| tensor.shape[0].max(1));
        let experts = find("ffn_down_exps.weight");
        Self {
            has_head: tensors.iter().any(|tensor| tensor.name == "output.weight"),
            layers: tensors
                .iter()
                .filter_map(TensorFacts::layer)
                .max()
                .map_or(0, |last| last + 1),
            sharing: rows("blk.0.attn_q.weight") / rows("blk.0.attn_k.weight"),
            experts: experts.map_or(1, |tensor| tensor.shape[0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[usize]) -> TensorFacts {
        TensorFacts {
            name: name.into(),
            shape: shape.to_vec(),
            dtype: DType::F16,
        }
    }

    /// A model of 16 layers whose rows fit blocks of 256.
    fn model() -> Vec<TensorFacts> {
        let mut tensors = vec![
            tensor("token_embd.weight", &[1000, 2048]),
            tensor("output_norm.weight", &[2048]),
            tensor("output.weight", &[1000, 2048]),
        ];
        for layer in 0..16 {
            for (name, shape) in [
                ("attn_norm", &[2048][..]),
                ("attn_q", &[2048, 2048]),
                ("attn_k", &[512, 2048]),
                ("attn_v", &[512, 2048]),
                ("attn_output", &[2048, 2048]),
                ("ffn_down", &[2048, 8192]),
                ("ffn_up", &[8192, 2048]),
            ] {
                tensors.push(tensor(&format!("blk.{layer}.{name}.weight"), shape));
            }
        }
        tensors
    }

    #[test]
    fn a_mixture_is_llama_cpps() {
        let (plan, fallbacks) = Rules::new(Preset::Q4_K_M).plan(&model());
        assert!(fallbacks.is_empty());
        assert_eq!(plan.get("output.weight"), Some(DType::Q6_K));
        assert_eq!(plan.get("token_embd.weight"), Some(DType::Q4_K));
        assert_eq!(plan.get("output_norm.weight"), None);
        let more: Vec<usize> = (0..16)
            .filter(|layer| plan.get(&format!("blk.{layer}.ffn_down.weight")) == Some(DType::Q6_K))
            .collect();
        // As `llama-quantize` prints for Llama-3.2-1B.
        assert_eq!(more, [0, 1, 4, 7, 10, 13, 14, 15]);
        let (plan, _) = Rules::new(Preset::Q3_K_M).plan(&model());
        assert_eq!(plan.get("blk.1.attn_v.weight"), Some(DType::Q5_K));
        assert_eq!(plan.get("blk.2.attn_v.weight"), Some(DType::Q4_K));
        assert_eq!(plan.get("blk.2.attn_output.weight"), Some(DType::Q4_K));
        assert_eq!(plan.get("blk.2.attn_q.weight"), Some(DType::Q3_K));
    }

    #[test]
    fn exceptions_go_before_the_preset() {
        let rules = Rules {
            pure: true,
            output: Some(DType::Q8_0),
            overrides: vec![
                "blk\\.[01]\\.ffn=Q5_K".parse().unwrap(),
                "ffn_down=q6_k".parse().unwrap(),
            ],
            ..Rules::new(Preset::Q4_K_M)
        };
        let (plan, _) = rules.plan(&model());
        assert_eq!(plan.get("output.weight"), Some(DType::Q8_0));
        assert_eq!(plan.get("blk.1.ffn_down.weight"), Some(DType::Q5_K));
        assert_eq!(plan.get("blk.2.ffn_down.weight"), Some(DType::Q6_K));
        assert_eq!(plan.get("blk.15.attn_v.weight"), Some(DType::Q4_K));
        for wrong in ["ffn", "ffn=Q9", "(=Q4_0"] {
            assert!(wrong.parse::<Override>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rows_that_do_not_fit_are_reported() {
        let tensors = [
            tensor("token_embd.weight", &[1000, 576]),
            tensor("blk.0.attn_q.weight", &[576, 576]),
        ];
        let (plan, fallbacks) = Rules::new(Preset::Q4_K_M).plan(&tensors);
        assert_eq!(plan.get("token_embd.weight"), Some(DType::Q8_0));
        assert_eq!(plan.get("blk.0.attn_q.weight"), Some(DType::Q5_0));
        assert_eq!(fallbacks.len(), 2);
        assert_eq!(
            (fallbacks[1].wanted, fallbacks[1].stored),
            (DType::Q4_K, DType::Q5_0)
        );
    }
}
