//! The plan itself.

use super::TensorFacts;
use dino_core::DType;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

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
        let value: Value = serde_json::from_str(text)?;
        let tensors = value
            .get("tensors")
            .and_then(Value::as_object)
            .ok_or(PlanError::NoTensors)?;
        let name = value
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or("custom");
        let mut plan = Self::new(name);
        for (tensor, dtype) in tensors {
            let unknown = || PlanError::UnknownType {
                tensor: tensor.clone(),
                found: dtype.to_string(),
            };
            let dtype = dtype
                .as_str()
                .and_then(DType::from_name)
                .ok_or_else(unknown)?;
            plan.set(tensor, dtype);
        }
        Ok(plan)
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
        ] {
            let error = Plan::from_json(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
