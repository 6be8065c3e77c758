//! The folder's tensors under the model's names.

use super::describe::Target;
use super::{Change, HuggingFace, Translation};
use crate::ModelError;
use crate::format::{
    Folder, FormatError, Join, Metadata, Origins, Piece, Step, Weights, fill, joined_shape,
    pattern, row_axis, stem,
};
use hashbrown::HashSet;
use indexmap::IndexMap;

const EMBEDDING: &str = "token_embd";
const HEAD: &str = "output";

/// What is put together to one of the model's tensors.
#[derive(Default)]
struct Gathered {
    /// The place among those that are joined, the number among those that are stacked, and the tensor.
    parts: Vec<(usize, Option<usize>, Piece)>,
    part: (usize, usize),
}

/// Puts the tensors of `folder` into `weights`, as the description has them.
pub(super) fn translate(
    folder: &Folder,
    translation: &Translation<'_>,
    weights: &mut Weights,
) -> Result<(), ModelError> {
    weights.set_origins(origins(folder, translation.description));
    let gathered = gather(folder, translation)?;
    for (name, gathered) in gathered {
        add(&name, gathered, translation, weights)?;
    }
    check_tied(translation, weights)?;
    check_biases(translation, weights)
}

/// What errors call the tensors. Of several names the one that the folder uses counts.
fn origins(folder: &Folder, description: &HuggingFace) -> Origins {
    let names = || folder.tensors.keys().map(String::as_str);
    let used: HashSet<String> = description
        .prefixed(names())
        .iter()
        .filter_map(|name| Some(pattern(name)?.0))
        .collect();
    let is_used = |theirs: &str| {
        used.contains(theirs)
            || [".weight", ".bias"]
                .iter()
                .any(|end| used.contains(&(theirs.to_owned() + end)))
    };
    let renamed = prefixes(description, |start| {
        names().any(|name| name.starts_with(start))
    });
    // With a dot behind it, so that a start may be the whole name.
    let told = |theirs: &str| {
        let name = renamed.iter().find_map(|(start, ours)| {
            let dotted = format!("{theirs}.");
            let rest = dotted.strip_prefix(ours)?.trim_end_matches('.');
            Some(format!("{start}{rest}").trim_end_matches('.').to_owned())
        });
        name.unwrap_or_else(|| theirs.to_owned())
    };
    let mut rules: Vec<_> = description.tensors.iter().collect();
    // Where none is there, what an architecture said last goes before what all share.
    rules.reverse();
    rules.sort_by_key(|(theirs, _)| !is_used(theirs));
    let pairs = rules.into_iter().flat_map(|(theirs, targets)| {
        let theirs = told(theirs);
        let pair = move |target: &Target| (target.name.to_owned(), theirs.clone());
        targets.iter().map(pair)
    });
    Origins(pairs.collect())
}

/// Sorts the folder's tensors by what they become.
fn gather(
    folder: &Folder,
    translation: &Translation<'_>,
) -> Result<IndexMap<String, Gathered>, ModelError> {
    let description = translation.description;
    let called = description.prefixed(folder.tensors.keys().map(String::as_str));
    let mut gathered: IndexMap<String, Gathered> = IndexMap::new();
    let others = &description.other_parts;
    let own = |name: &String| !others.iter().any(|other| name.starts_with(other));
    let all = folder.tensors.iter().zip(&called);
    for ((name, raw), called) in all.filter(|((name, _), _)| own(name)) {
        let Some((targets, end, numbers)) = find(description, called) else {
            // Nothing here asks for it: under its own name the loader will say so.
            let tensor = raw.piece(&folder.weights_file, name)?;
            let gathered = gathered.entry(name.clone()).or_default();
            gathered.parts.push((0, None, tensor));
            continue;
        };
        for target in targets {
            let tensor = raw.piece(&folder.weights_file, name)?;
            let number = numbers.get(target.name.matches("{}").count()).copied();
            let ours = fill(target.name, &numbers) + end;
            let gathered = gathered.entry(ours).or_default();
            gathered.part = target.part;
            gathered.parts.push((target.place, number, tensor));
        }
    }
    Ok(gathered)
}

/// The starts of names that are to be replaced. An empty one is put before every name, where no name has it.
pub(super) fn prefixes(
    description: &HuggingFace,
    has: impl Fn(&str) -> bool,
) -> Vec<(&'static str, &'static str)> {
    let all = description.prefixes.iter().copied();
    let (base, renamed): (Vec<_>, Vec<_>) = all.partition(|(theirs, _)| theirs.is_empty());
    let renamed: Vec<_> = renamed
        .into_iter()
        .filter(|(theirs, _)| has(theirs))
        .collect();
    if !renamed.is_empty() {
        return renamed;
    }
    base.into_iter().filter(|(_, ours)| !has(ours)).collect()
}

/// The rule for the tensor `name`: its targets, the end that they keep, and the numbers in the name.
pub(super) fn find<'a>(
    description: &'a HuggingFace,
    name: &'a str,
) -> Option<(&'a [Target], &'a str, Vec<usize>)> {
    let rules = &description.tensors;
    let (whole, numbers) = pattern(name)?;
    if let Some(targets) = rules.get(whole.as_str()) {
        return Some((targets, "", numbers));
    }
    let (_, end) = stem(name);
    let targets = rules.get(whole.strip_suffix(end)?)?;
    Some((targets, end, numbers))
}

/// Adds one tensor, made of its parts.
fn add(
    name: &str,
    gathered: Gathered,
    translation: &Translation<'_>,
    weights: &mut Weights,
) -> Result<(), ModelError> {
    let Gathered { mut parts, part } = gathered;
    parts.sort_by_key(|(place, number, _)| (*place, *number));
    let numbered = parts.iter().any(|(_, number, _)| number.is_some());
    let join = if numbered { Join::Stack } else { Join::Rows };
    for (index, (_, number, tensor)) in parts.iter().enumerate() {
        if number.is_some_and(|number| number != index) {
            return Err(gap(weights, tensor.name(), index));
        }
    }
    let tensors: Vec<Piece> = parts.into_iter().map(|(_, _, tensor)| tensor).collect();
    let mut shape = joined_shape(&tensors, join).unwrap_or_default();
    let mut steps = Vec::new();
    if part.1 > 1 {
        steps.push(run_of_rows(&mut shape, part));
    }
    for (end, change) in &translation.description.changes {
        if name.ends_with(end) {
            // Blocks lie along the rows that are multiplied: they are stored as models want them.
            let blocks = tensors.iter().any(|part| part.dtype().block_len() > 1);
            if blocks && matches!(change, Change::Transpose) {
                continue;
            }
            let step = change.step(translation.metadata(), &shape)?;
            step.reshape(&mut shape);
            steps.push(step);
        }
    }
    Ok(weights.derive(name, tensors, join, steps)?)
}

/// The rows of run `part.0` of `part.1` equal ones.
pub(super) fn run_of_rows(shape: &mut [usize], part: (usize, usize)) -> Step {
    let axis = row_axis(shape);
    let rows = shape.get(axis).copied().unwrap_or(0);
    let (index, of) = part;
    // Rows that do not divide are left as they are: the loader says what is wrong with the shape.
    let (from, len) = match rows.is_multiple_of(of) {
        true => (index * (rows / of), rows / of),
        false => (0, rows),
    };
    if let Some(rows) = shape.get_mut(axis) {
        *rows = len;
    }
    Step::Rows((from..from + len).collect())
}

/// The error that of tensors to be stacked the one with number `index` is missing; another one is called `name`.
fn gap(weights: &Weights, name: &str, index: usize) -> ModelError {
    let missing = pattern(name).map(|(pattern, mut numbers)| {
        if let Some(last) = numbers.last_mut() {
            *last = index;
        }
        fill(&pattern, &numbers)
    });
    ModelError::Format(FormatError::MissingTensor {
        file: weights.file().to_owned(),
        tensor: missing.unwrap_or_default(),
        similar: None,
    })
}

/// Makes sure that there is a head where `tie_word_embeddings` is false, and none of its own where it is true.
fn check_tied(translation: &Translation<'_>, weights: &mut Weights) -> Result<(), ModelError> {
    const KEY: &str = "tie_word_embeddings";
    let Some(default) = translation.description.tied else {
        return Ok(());
    };
    let tied = translation.config.maybe(KEY)?.unwrap_or(default);
    let (table, head) = (format!("{EMBEDDING}.weight"), format!("{HEAD}.weight"));
    match (tied, weights.contains(&head)) {
        (true, false) => Ok(()),
        (false, true) => Ok(()),
        (false, false) => Err(weights.get(&head).map(|_| ()).unwrap_err().into()),
        (true, true) => {
            // Some folders hold the same numbers twice.
            let told = weights.told(&table);
            let [table, own] = [weights.get(&table)?, weights.get(&head)?];
            let same_shape = table.shape() == own.shape();
            if !same_shape || table.storage().as_slice() != own.storage().as_slice() {
                let expected =
                    format!("false, since {} differs from {}", weights.told(&head), told);
                return Err(translation.impossible(KEY, "true", &expected));
            }
            weights.remove(&head);
            Ok(())
        }
    }
}

/// Makes sure that biases are there where the configuration says so, and nowhere else.
fn check_biases(translation: &Translation<'_>, weights: &Weights) -> Result<(), ModelError> {
    let blocks: usize = block_count(translation.metadata())?;
    for (key, (missing, layers)) in &translation.description.biases {
        let claimed: bool = translation.config.maybe(key)?.unwrap_or(*missing);
        for layer in *layers {
            for block in 0..blocks {
                let name = format!("blk.{block}.{layer}.bias");
                let weight = format!("blk.{block}.{layer}.weight");
                // A block without this layer at all is for the loader to judge.
                if weights.contains(&name) == claimed || !weights.contains(&weight) {
                    continue;
                }
                if claimed {
                    weights.get(&name)?;
                }
                let expected = format!("true, since there is a {}", weights.told(&name));
                return Err(translation.impossible(key, "false", &expected));
            }
        }
    }
    Ok(())
}

/// Blocks of the model, of which a damaged file may claim any number.
fn block_count(metadata: &Metadata) -> Result<usize, ModelError> {
    let blocks: usize = metadata.scoped()?.maybe("block_count")?.unwrap_or(0);
    Ok(blocks.min(1 << 16))
}
