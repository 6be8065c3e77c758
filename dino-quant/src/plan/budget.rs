//! The best types for a size: which tensor deserves its bytes most.
//!
//! A tensor's choices are points of bytes and cost. Only those on the lower convex hull of its points can be part of a
//! best plan for some price of a byte. From the smallest choice of every tensor on, the steps along all hulls are taken in
//! the order of what they save for a byte, as long as they fit. That is what bisecting the price finds, exactly and at
//! once; where a large step no longer fits, smaller ones of other tensors still do.

use super::PlanError;

/// One way to store a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Bytes that it takes.
    pub bytes: u64,
    /// What it costs in quality, in any unit that adds up over tensors.
    pub cost: f64,
}

/// For each tensor the index of the choice to take, so that all together take at most `budget` bytes and cost least.
///
/// # Errors
/// [`PlanError::TooSmall`] if the smallest choices take more.
///
/// # Panics
/// If a tensor has no choice.
pub fn allocate(tensors: &[Vec<Choice>], budget: u64) -> Result<Vec<usize>, PlanError> {
    let mut walk = Walk::new(tensors);
    if walk.bytes > budget {
        return Err(PlanError::TooSmall {
            budget,
            least: walk.bytes,
        });
    }
    for step in walk.steps() {
        if walk.bytes + step.bytes <= budget {
            walk.take(&step);
        }
    }
    Ok(walk.taken)
}

/// For each tensor the index of the choice to take, so that all together cost at most `cost` and take few bytes.
///
/// Where even the best choices cost more, they are taken.
///
/// # Panics
/// If a tensor has no choice.
pub fn allocate_for_cost(tensors: &[Vec<Choice>], cost: f64) -> Vec<usize> {
    let mut walk = Walk::new(tensors);
    for step in walk.steps() {
        if walk.cost <= cost {
            break;
        }
        walk.take(&step);
    }
    walk.taken
}

/// A step along the hull of one tensor.
struct Step {
    tensor: usize,
    from: usize,
    to: usize,
    bytes: u64,
    saved: f64,
}

struct Walk {
    hulls: Vec<Vec<(usize, Choice)>>,
    taken: Vec<usize>,
    bytes: u64,
    cost: f64,
}

impl Walk {
    fn new(tensors: &[Vec<Choice>]) -> Self {
        let hulls: Vec<_> = tensors.iter().map(|choices| hull(choices)).collect();
        let first = hulls.iter().map(|hull| hull[0].1);
        Self {
            taken: hulls.iter().map(|hull| hull[0].0).collect(),
            bytes: first.clone().map(|choice| choice.bytes).sum(),
            cost: first.map(|choice| choice.cost).sum(),
            hulls,
        }
    }

    /// All steps, those that save most for a byte first.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (tensor, hull) in self.hulls.iter().enumerate() {
            steps.extend(hull.windows(2).map(|pair| Step {
                tensor,
                from: pair[0].0,
                to: pair[1].0,
                bytes: pair[1].1.bytes - pair[0].1.bytes,
                saved: pair[0].1.cost - pair[1].1.cost,
            }));
        }
        let worth = |step: &Step| step.saved / step.bytes as f64;
        steps.sort_by(|a, b| worth(b).total_cmp(&worth(a)));
        steps
    }

    /// Takes a step, unless the one before it was not taken.
    fn take(&mut self, step: &Step) {
        if self.taken[step.tensor] == step.from {
            self.taken[step.tensor] = step.to;
            self.bytes += step.bytes;
            self.cost -= step.saved;
        }
    }
}

/// The choices on the lower convex hull, smallest first, with their indices.
fn hull(choices: &[Choice]) -> Vec<(usize, Choice)> {
    let mut sorted: Vec<(usize, Choice)> = choices.iter().copied().enumerate().collect();
    sorted.sort_by(|(_, a), (_, b)| a.bytes.cmp(&b.bytes).then(a.cost.total_cmp(&b.cost)));
    let mut hull: Vec<(usize, Choice)> = Vec::new();
    for (index, choice) in sorted {
        if hull
            .last()
            .is_some_and(|(_, last)| choice.cost >= last.cost)
        {
            continue;
        }
        while let [.., (_, a), (_, b)] = hull[..] {
            let slope =
                |p: Choice, q: Choice| (p.cost - q.cost) / (q.bytes as f64 - p.bytes as f64);
            if slope(a, b) > slope(b, choice) {
                break;
            }
            hull.pop();
        }
        hull.push((index, choice));
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(points: &[(u64, f64)]) -> Vec<Choice> {
        points
            .iter()
            .map(|&(bytes, cost)| Choice { bytes, cost })
            .collect()
    }

    #[test]
    fn a_hull_leaves_out_what_others_beat() {
        let points = choices(&[(10, 8.0), (20, 7.5), (30, 2.0), (40, 3.0), (60, 1.0)]);
        let indices: Vec<usize> = hull(&points).into_iter().map(|(index, _)| index).collect();
        assert_eq!(indices, [0, 2, 4]);
    }

    /// Against all combinations: at the sizes that the walk reaches, no other combination costs less.
    #[test]
    fn no_combination_of_that_size_is_better() {
        let tensors: Vec<Vec<Choice>> = (0..4_u32)
            .map(|t| {
                let point = |c: u32| {
                    let bytes = u64::from((10 + t) * (c + 1));
                    (bytes, f64::from(100 + 37 * t % 50) / 4.0_f64.powi(c as i32))
                };
                choices(&(0..4).map(point).collect::<Vec<_>>())
            })
            .collect();
        let total = |taken: &[usize]| {
            let chosen = tensors
                .iter()
                .zip(taken)
                .map(|(choices, &index)| choices[index]);
            chosen.fold((0, 0.0), |(bytes, cost), choice| {
                (bytes + choice.bytes, cost + choice.cost)
            })
        };
        for budget in 46..200 {
            let taken = allocate(&tensors, budget).unwrap();
            let (bytes, cost) = total(&taken);
            assert!(bytes <= budget);
            for code in 0..256_usize {
                let other: Vec<usize> = (0..4).map(|t| code >> (2 * t) & 3).collect();
                let (other_bytes, other_cost) = total(&other);
                // What fits into the bytes taken; a few bytes more may hold a better one.
                assert!(other_bytes > bytes || other_cost >= cost - 1e-9 || bytes < budget);
            }
        }
        assert!(matches!(
            allocate(&tensors, 45),
            Err(PlanError::TooSmall { least: 46, .. })
        ));
        let (_, cost) = total(&allocate_for_cost(&tensors, 20.0));
        assert!(cost <= 20.0);
    }
}
