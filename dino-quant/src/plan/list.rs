//! The plan itself.

use super::TensorFacts;
use dino_core::DType;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, json};
use std::collections::HashMap;
use std::fmt;

/// The type of each tensor, in the order of the file.
///
/// As text it is JSON: `{"name": "…", "tensors": {"blk.0.attn_q.weight": "Q4_K", …}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    name: String,
    types: Vec<(String, DType)>,
    places: HashMap<String, usize>,
}

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// It is not JSON.
    #[error("the plan is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It has no object of tensors.
    #[error(
        "the plan has no object `tensors` that says the type of each tensor, as in {{\"tensors\": {{\"output.weight\": \"Q6_K\"}}}}"
    )]
    NoTensors,
    /// A type that does not exist.
    #[error(
        "the plan stores `{tensor}` as {found}, which is no type; types are {}",
        names()
    )]
    UnknownType {
        /// The tensor.
        tensor: String,
        /// What is said of it.
        found: String,
    },
    /// A tensor with two types.
    #[error("the plan says twice how `{tensor}` is stored")]
    Twice {
        /// The tensor.
        tensor: String,
    },
    /// A regular expression that is none.
    #[error("`{pattern}` is no regular expression: {message}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// An exception that is not `REGEX=TYPE`.
    #[error("`{0}` is not REGEX=TYPE with a type such as Q6_K")]
    Override(String),
    /// No plan is as small as was asked for.
    #[error("no types make the tensors smaller than {least} bytes, {budget} were asked for")]
    TooSmall {
        /// Bytes that were asked for.
        budget: u64,
        /// Bytes of the smallest plan.
        least: u64,
    },
    /// No plan diverges as little as was asked for.
    #[error("no types diverge by less than {least:.2e} nats, {asked:.2e} were asked for")]
    TooPrecise {
        /// The divergence that was asked for.
        asked: f64,
        /// That of the most precise plan.
        least: f64,
    },
}

fn names() -> String {
    DType::ALL.map(DType::name).join(", ")
}

impl Plan {
    /// A plan without tensors.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// What it is called: the preset, or the target that it was made for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stores `tensor` as `dtype`.
    pub fn set(&mut self, tensor: &str, dtype: DType) {
        if let Some(&place) = self.places.get(tensor) {
            self.types[place].1 = dtype;
            return;
        }
        self.places.insert(tensor.into(), self.types.len());
        self.types.push((tensor.into(), dtype));
    }

    /// The type of a tensor; `None` leaves it as it is.
    pub fn get(&self, tensor: &str) -> Option<DType> {
        self.places.get(tensor).map(|&place| self.types[place].1)
    }

    /// All tensors with their types, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, DType)> {
        self.types
            .iter()
            .map(|(tensor, dtype)| (tensor.as_str(), *dtype))
    }

    /// Bytes that `tensors` take when they are stored so. Rows must fit their types.
    pub fn bytes(&self, tensors: &[TensorFacts]) -> u64 {
        let bytes =
            |tensor: &TensorFacts| tensor.bytes(self.get(&tensor.name).unwrap_or(tensor.dtype));
        tensors.iter().map(bytes).sum()
    }

    /// The plan as text, one line a tensor.
    pub fn to_json(&self) -> String {
        let tensors = self
            .iter()
            .map(|(tensor, dtype)| (tensor.to_owned(), json!(dtype.name())));
        let plan = json!({ "name": self.name, "tensors": tensors.collect::<Map<_, _>>() });
        format!("{plan:#}\n")
    }

    /// Reads what [`Self::to_json`] wrote, or a user.
    ///
    /// # Errors
    /// [`PlanError`], which names the tensor whose type is none.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let value: Entries = serde_json::from_str(text)?;
        let of = |key: &str| value.0.iter().find(|(name, _)| name == key);
        let tensors = of("tensors").map(|(_, tensors)| tensors.get());
        let tensors = tensors.and_then(|tensors| serde_json::from_str::<Entries>(tensors).ok());
        let name = of("name").and_then(|(_, name)| serde_json::from_str(name.get()).ok());
        let mut plan = Self::new(name.unwrap_or_else(|| "custom".to_owned()));
        for (tensor, dtype) in tensors.ok_or(PlanError::NoTensors)?.0 {
            let stated: Option<String> = serde_json::from_str(dtype.get()).ok();
            let Some(dtype) = stated.as_deref().and_then(DType::from_name) else {
                let found = dtype.get().to_owned();
                return Err(PlanError::UnknownType { tensor, found });
            };
            if plan.get(&tensor).is_some() {
                return Err(PlanError::Twice { tensor });
            }
            plan.set(&tensor, dtype);
        }
        Ok(plan)
    }
}

/// All entries of a JSON object as they are written; of equal names a map would keep the last one alone.
struct Entries(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_comes_back_from_its_text() {
        let mut plan = Plan::new("mine");
        plan.set("b", DType::Q4_K);
        plan.set("a", DType::F16);
        plan.set("b", DType::Q6_K);
        let back = Plan::from_json(&plan.to_json()).unwrap();
        assert_eq!(back, plan);
        assert!(back.iter().eq([("b", DType::Q6_K), ("a", DType::F16)]));
        assert_eq!(back.get("c"), None);
    }

    #[test]
    fn a_wrong_text_is_refused() {
        for (text, expected) in [
            ("{", "not JSON"),
            ("{\"types\": {}}", "no object `tensors`"),
            ("{\"tensors\": {\"x\": \"Q7\"}}", "`x` as \"Q7\""),
            ("{\"tensors\": {\"x\": 7}}", "`x` as 7"),
            ("{\"tensors\": [\"x\"]}", "no object `tensors`"),
            (
                "{\"tensors\": {\"x\": \"Q4_K\", \"y\": \"F16\", \"x\": \"Q6_K\"}}",
                "twice how `x` is stored",
            ),
        ] {
            let error = Plan::from_json(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
