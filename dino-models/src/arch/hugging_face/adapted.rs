//! The linear layers of a folder as those of the model: what adapters of folders are read by.

use super::tensors::{find, prefixes, run_of_rows};
use super::{Change, HuggingFace};
use crate::ModelError;
use crate::format::{Metadata, Step, fill};

/// Rows of a folder's linear layer that are one of the model's weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinearRows {
    /// The weight, or `NAME[i]` for the `i`-th run of its rows.
    pub(crate) weight: String,
    /// Which rows of the folder's layer are its rows, in their order.
    pub(crate) rows: Vec<usize>,
}

impl HuggingFace {
    /// The names of a folder's modules or tensors as the description has them.
    pub(crate) fn prefixed<'n>(&self, names: impl Iterator<Item = &'n str> + Clone) -> Vec<String> {
        let has = |start: &str| names.clone().any(|name| name.starts_with(start));
        let prefixes = prefixes(self, has);
        let renamed = |name: &str| {
            let mut found = prefixes.iter();
            found.find_map(|(theirs, ours)| Some(format!("{ours}{}", name.strip_prefix(theirs)?)))
        };
        names
            .clone()
            .map(|name| renamed(name).unwrap_or_else(|| name.to_owned()))
            .collect()
    }

    /// Whether there is a rule for the tensor or module.
    pub(crate) fn knows(&self, module: &str) -> bool {
        find(self, module).is_some_and(|(targets, _, _)| !targets.is_empty())
    }

    /// What becomes of the `rows` rows of the linear layer `module`; `None` if there is no such layer, or if its values
    /// are changed in more than their order.
    ///
    /// # Errors
    /// If the metadata lacks what the order of rows depends on.
    pub(crate) fn linear_rows(
        &self,
        metadata: &Metadata,
        module: &str,
        rows: usize,
    ) -> Result<Option<Vec<LinearRows>>, ModelError> {
        let Some((targets, _, numbers)) = find(self, module) else {
            return Ok(None);
        };
        let mut shares = Vec::with_capacity(targets.len());
        for target in targets {
            let weight = fill(target.name, &numbers) + ".weight";
            let mut order: Vec<usize> = (0..rows).collect();
            if target.part.1 > 1 {
                order = reordered(&order, &run_of_rows(&mut [rows, 1], target.part));
            }
            for (_, change) in self.changes.iter().filter(|(end, _)| weight.ends_with(end)) {
                match change {
                    // Of a transposed weight the rows are features that come out, as for any other.
                    Change::Transpose => {}
                    Change::Rows(_) => {
                        let step = change.step(metadata, &[order.len(), 1])?;
                        order = reordered(&order, &step);
                    }
                    Change::Columns(_) | Change::Map(_) | Change::Reshape(_) => return Ok(None),
                }
            }
            let weight = match self.is_joined(target.name) {
                true => format!("{weight}[{}]", target.place),
                false => weight,
            };
            shares.push(LinearRows {
                weight,
                rows: order,
            });
        }
        Ok((!shares.is_empty()).then_some(shares))
    }

    /// Whether the tensor is made of several of the folder's.
    fn is_joined(&self, name: &str) -> bool {
        let targets = self.tensors.values().flatten();
        targets
            .filter(|target| target.name == name)
            .any(|target| target.place > 0)
    }
}

/// The rows that `step` makes of `rows`; those that are not there are left out, and the shape will not fit then.
fn reordered(rows: &[usize], step: &Step) -> Vec<usize> {
    match step {
        Step::Rows(order) => order
            .iter()
            .filter_map(|&row| rows.get(row).copied())
            .collect(),
        _ => rows.to_vec(),
    }
}
