//! What one rendering may cost.

use super::error::{Fault, Outcome};

/// How deep rendering may recurse: nested statements, expressions and macro calls together.
pub(super) const MAX_DEPTH: usize = 400;

/// Steps for a template and nothing else; real ones take a few thousand.
const BASE_STEPS: u64 = 2_000_000;

/// Steps for each unit of the input's weight: templates look at every message several times.
const STEPS_PER_WEIGHT: u64 = 64;

/// The steps that are left, and the recursion depth.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    left: u64,
    depth: usize,
}

impl Budget {
    /// A budget for an input of that weight (as [`Value::weight`](super::value::Value::weight)).
    pub(super) fn for_weight(weight: u64) -> Self {
        let limit = BASE_STEPS.saturating_add(weight.saturating_mul(STEPS_PER_WEIGHT));
        Self {
            limit,
            left: limit,
            depth: 0,
        }
    }

    /// The steps at the start.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Pays for steps, before they are taken.
    pub(super) fn pay(&mut self, steps: u64) -> Outcome<()> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Fault::Work)
            }
        }
    }

    /// Pays for reading or writing text: sixteen bytes a step.
    pub(super) fn pay_bytes(&mut self, bytes: usize) -> Outcome<()> {
        self.pay(bytes as u64 / 16)
    }

    /// Pays for copying references to items: four a step.
    pub(super) fn pay_items(&mut self, count: usize) -> Outcome<()> {
        self.pay(count as u64 / 4)
    }

    /// Goes one level down, for one step; [`Self::leave`] comes back.
    pub(super) fn enter(&mut self) -> Outcome<()> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::Depth);
        }
        self.pay(1)?;
        self.depth += 1;
        Ok(())
    }

    /// Comes back up.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }
}
