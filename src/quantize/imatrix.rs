//! Importance matrices as llama.cpp's `llama-imatrix` writes them: GGUF files with two tensors for each weight.
//!
//! `NAME.in_sum2`, `[matrices, in_features]`, are the sums of squares of each input channel; `NAME.counts`,
//! `[matrices, 1]`, the rows that were summed. Ours may hold `NAME.in_max`, the greatest magnitudes, `NAME.in_limits`,
//! the least and greatest value, and `NAME.in_histogram`, counts of zeros and of the bins of a
//! [`Histogram`], besides; llama.cpp passes over them.

use std::path::Path;

use dino_core::{DType, Tensor};
use dino_models::format::gguf::{TensorInfo, Writer};
use dino_models::format::{Metadata, ModelFile, StringArray};
use dino_quant::calibration::{Calibration, Histogram, InputStats};

use super::QuantizeError;

const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";
const GREATEST: &str = ".in_max";
const LIMITS: &str = ".in_limits";
const HISTOGRAM: &str = ".in_histogram";

/// Reads an importance matrix, llama.cpp's or ours.
///
/// # Errors
/// [`QuantizeError::Format`] if the file cannot be read; [`QuantizeError::NotAnImatrix`] if it holds something else.
pub fn read_imatrix(path: impl AsRef<Path>) -> Result<Calibration, QuantizeError> {
    let path = path.as_ref();
    let wrong = |reason: String| QuantizeError::NotAnImatrix {
        file: path.into(),
        reason,
    };
    let file = ModelFile::open(path)?;
    let kind: Option<&str> = file.metadata.maybe("general.type")?;
    if kind != Some("imatrix") {
        return Err(wrong("its general.type is not `imatrix`".into()));
    }
    let mut calibration = Calibration {
        chunks: file.metadata.maybe("imatrix.chunk_count")?.unwrap_or(0),
        chunk_size: file.metadata.maybe("imatrix.chunk_size")?.unwrap_or(0),
        ..Calibration::default()
    };
    if let Some(datasets) = file.metadata.maybe::<&StringArray>("imatrix.datasets")? {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        calibration.datasets = datasets.iter().map(text).collect();
    }
    for tensor in file.weights.iter() {
        let Some(name) = tensor.name().strip_suffix(SUMS) else {
            continue;
        };
        let counts = file.weights.get(&format!("{name}{COUNTS}"))?;
        let sums =
            floats(&tensor).ok_or_else(|| wrong(format!("`{}` is not F32", tensor.name())))?;
        let counts =
            floats(&counts).ok_or_else(|| wrong(format!("`{name}{COUNTS}` is not F32")))?;
        let usable = |x: &f32| x.is_finite() && *x >= 0.0;
        if counts.is_empty() || sums.len() % counts.len() != 0 {
            let reason = format!(
                "`{name}` has {} sums for {} counts",
                sums.len(),
                counts.len()
            );
            return Err(wrong(reason));
        }
        if !sums.iter().chain(&counts).all(usable) {
            return Err(wrong(format!(
                "`{name}` has sums that are negative or not finite"
            )));
        }
        let own = |suffix: &str| {
            let tensor = file.weights.maybe(&format!("{name}{suffix}"));
            tensor.and_then(|tensor| floats(&tensor))
        };
        let greatest = own(GREATEST);
        let limits = own(LIMITS).and_then(|limits| <[f32; 2]>::try_from(limits).ok());
        let histogram = own(HISTOGRAM).and_then(|counts| {
            // A cast saturates: what is no count is none, or all that there are.
            let counts: Vec<u64> = counts.into_iter().map(|count| count as u64).collect();
            Histogram::from_counts(&counts)
        });
        let stats = InputStats {
            greatest: greatest
                .filter(|greatest| greatest.len() == sums.len())
                .unwrap_or_default(),
            counts: counts.into_iter().map(f64::from).collect(),
            sums: sums.into_iter().map(f64::from).collect(),
            limits: limits
                .filter(|limits| limits[0] <= limits[1])
                .unwrap_or_default(),
            histogram,
        };
        calibration.inputs.insert(name.into(), stats);
    }
    if calibration.inputs.is_empty() {
        return Err(wrong(format!("no tensor is called NAME{SUMS}")));
    }
    Ok(calibration)
}

fn floats(tensor: &Tensor) -> Option<Vec<f32>> {
    let values = (tensor.dtype() == DType::F32)
        .then(|| tensor.to_array().ok())
        .flatten();
    values.map(|values| values.into_raw_vec_and_offset().0)
}

/// Writes what was seen of a model as llama.cpp's `llama-quantize --imatrix` reads it, too.
///
/// # Errors
/// [`QuantizeError::Format`] if the file cannot be written.
pub fn write_imatrix(
    path: impl AsRef<Path>,
    calibration: &Calibration,
) -> Result<(), QuantizeError> {
    let datasets: StringArray = calibration.datasets.iter().collect();
    let metadata = Metadata::new(path.as_ref())
        .with("general.type", "imatrix")
        .with("imatrix.datasets", datasets)
        .with("imatrix.chunk_count", calibration.chunks as u32)
        .with("imatrix.chunk_size", calibration.chunk_size as u32);
    let parts: Vec<_> = calibration
        .inputs
        .iter()
        .flat_map(|(name, stats)| parts(name, stats))
        .collect();
    let infos: Vec<TensorInfo> = parts.iter().map(|(info, _)| info.clone()).collect();
    let mut writer = Writer::create(path.as_ref(), &metadata, &infos)?;
    for (_, values) in &parts {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        writer.tensor(&bytes)?;
    }
    Ok(writer.finish()?)
}

/// The tensors of one weight.
fn parts(name: &str, stats: &InputStats) -> Vec<(TensorInfo, Vec<f32>)> {
    let matrices = stats.counts.len();
    let info = |suffix: &str, len: usize| TensorInfo {
        name: format!("{name}{suffix}"),
        dtype: DType::F32,
        shape: vec![matrices, len / matrices.max(1)],
    };
    let narrow = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<_>>();
    let mut parts = vec![
        (info(SUMS, stats.sums.len()), narrow(&stats.sums)),
        (info(COUNTS, matrices), narrow(&stats.counts)),
    ];
    if !stats.greatest.is_empty() {
        parts.push((info(GREATEST, stats.greatest.len()), stats.greatest.clone()));
    }
    if let Some(histogram) = &stats.histogram {
        // Counts above 2^24 lose their last digits.
        let counts: Vec<f32> = histogram.counts().map(|count| count as f32).collect();
        let row = |suffix: &str, len: usize| TensorInfo {
            shape: vec![1, len],
            ..info(suffix, 0)
        };
        parts.push((row(LIMITS, 2), stats.limits.to_vec()));
        parts.push((row(HISTOGRAM, counts.len()), counts));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let mut calibration = Calibration {
            datasets: vec!["a.txt".into()],
            chunks: 3,
            chunk_size: 512,
            ..Calibration::default()
        };
        let mut histogram = Histogram::default();
        for x in [0.0, 0.5, -1.0, 1.5] {
            histogram.add(x);
        }
        let stats = InputStats {
            counts: vec![2.0, 0.0],
            sums: vec![1.0, 2.0, 3.0, 0.0, 0.0, 0.0],
            greatest: vec![0.5; 6],
            limits: [-1.0, 1.5],
            histogram: Some(histogram),
        };
        calibration
            .inputs
            .insert("blk.0.ffn_down_exps.weight".into(), stats);
        write_imatrix(&path, &calibration).unwrap();
        let back = read_imatrix(&path).unwrap();
        assert_eq!(back, calibration);
        let importance = back.importance("blk.0.ffn_down_exps.weight").unwrap();
        assert_eq!(importance, [0.5, 1.0, 1.5, 1.0, 1.0, 1.0]);
    }
}
