//! Tensor names with the numbers of layers and experts taken out: `model.layers.{}.mlp.up_proj`.

/// The name with each part that is a number replaced by `{}`, and the numbers; `None` if one is too large.
pub(crate) fn pattern(name: &str) -> Option<(String, Vec<usize>)> {
    let mut numbers = Vec::new();
    let mut parts = Vec::new();
    for part in name.split('.') {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            numbers.push(part.parse().ok()?);
            parts.push("{}");
        } else {
            parts.push(part);
        }
    }
    Some((parts.join("."), numbers))
}

/// The pattern with its `{}` replaced by `numbers` in turn; those that lack a number stay.
pub(crate) fn fill(pattern: &str, numbers: &[usize]) -> String {
    let mut numbers = numbers.iter();
    let parts = pattern.split('.').map(|part| match part {
        "{}" => numbers.next().map_or(part.to_owned(), usize::to_string),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(".")
}

/// The name without `.weight` or `.bias` at its end, and that end.
pub(crate) fn stem(name: &str) -> (&str, &str) {
    let end = [".weight", ".bias"]
        .into_iter()
        .find(|end| name.ends_with(end))
        .map_or(0, str::len);
    name.split_at(name.len() - end)
}

/// What a file calls the tensors of a model: pairs of the model's pattern and the file's, of whole names or stems.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(pub(crate) Vec<(String, String)>);

impl Origins {
    /// The file's name for the tensor `name`.
    pub(crate) fn of(&self, name: &str) -> Option<String> {
        let (whole, numbers) = pattern(name)?;
        let (before, end) = stem(&whole);
        // The first rule counts, be it of the whole name or of its stem.
        self.0.iter().find_map(|(ours, theirs)| match ours {
            ours if *ours == whole => Some(fill(theirs, &numbers)),
            ours if ours == before => Some(fill(theirs, &numbers) + end),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_out_and_go_in() {
        let (stem, numbers) = pattern("model.layers.12.experts.3.w1").unwrap();
        assert_eq!(
            (stem.as_str(), numbers.as_slice()),
            ("model.layers.{}.experts.{}.w1", &[12, 3][..])
        );
        assert_eq!(fill(&stem, &numbers), "model.layers.12.experts.3.w1");
        assert_eq!(fill("blk.{}.ffn", &numbers), "blk.12.ffn");
        assert!(pattern("layers.99999999999999999999999").is_none());
        let origins = Origins(vec![("blk.{}.ffn_up".into(), "model.layers.{}.up".into())]);
        assert_eq!(
            origins.of("blk.7.ffn_up.bias").as_deref(),
            Some("model.layers.7.up.bias")
        );
        assert_eq!(origins.of("blk.7.ffn_down"), None);
    }
}
