//! Makes the files that the example runs, so that there is something to run.

use dino_llm::DType;
use dino_llm::dino_models::format::gguf::{TensorInfo, Writer};
use dino_llm::dino_models::format::{FormatError, Metadata, ModelFile};
use std::path::Path;

/// Copies a file of the architecture `from` as one of MiniCPM: the same tensors, and keys under the other name.
///
/// # Errors
/// If the file cannot be read or the copy not be written.
pub fn copy_as_minicpm(source: &Path, from: &str, target: &Path) -> Result<(), FormatError> {
    let file = ModelFile::open(source)?;
    let mut metadata = Metadata::new(target);
    for (key, value) in file.metadata.iter() {
        match key
            .strip_prefix(from)
            .and_then(|rest| rest.strip_prefix('.'))
        {
            Some(rest) => metadata.insert(format!("minicpm.{rest}"), value.clone()),
            None if key == "general.architecture" => metadata.insert(key, "minicpm"),
            None => metadata.insert(key, value.clone()),
        }
    }
    let infos: Vec<_> = file.weights.infos().collect();
    let mut writer = Writer::create(target, &metadata, &infos)?;
    for tensor in file.weights.iter() {
        writer.tensor(tensor.storage().as_slice())?;
    }
    writer.finish()
}

/// Writes a minGRU of random weights, 256 tokens and `layers` layers of `hidden` features.
///
/// # Errors
/// If the file cannot be written.
pub fn random_min_gru(target: &Path, layers: usize, hidden: usize) -> Result<(), FormatError> {
    let metadata = Metadata::new(target)
        .with("general.architecture", "mingru")
        .with("mingru.block_count", layers as u32)
        .with("mingru.embedding_length", hidden as u32)
        .with("mingru.context_length", 4096_u32)
        .with("mingru.attention.layer_norm_rms_epsilon", 1e-5_f32);
    let info = |name: String, shape: &[usize]| TensorInfo {
        name,
        dtype: DType::F32,
        shape: shape.to_vec(),
    };
    let mut infos = vec![info("token_embd.weight".into(), &[256, hidden])];
    for layer in 0..layers {
        infos.push(info(format!("blk.{layer}.norm.weight"), &[hidden]));
        for part in ["gate", "candidate", "output"] {
            infos.push(info(
                format!("blk.{layer}.{part}.weight"),
                &[hidden, hidden],
            ));
            infos.push(info(format!("blk.{layer}.{part}.bias"), &[hidden]));
        }
    }
    infos.push(info("output_norm.weight".into(), &[hidden]));
    infos.push(info("output.weight".into(), &[256, hidden]));
    let mut random = Random(1);
    let mut writer = Writer::create(target, &metadata, &infos)?;
    for info in &infos {
        let len = info.shape.iter().product();
        let spread = 2.0 / (hidden as f32).sqrt();
        let center = f32::from(u8::from(info.name.contains("norm")));
        let values = (0..len).flat_map(|_| (center + spread * random.next()).to_le_bytes());
        writer.tensor(&values.collect::<Vec<_>>())?;
    }
    writer.finish()
}

/// Numbers between -1 and 1, the same on every run: a linear congruential generator (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }
}
