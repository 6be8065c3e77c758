//! What is known of a model's inputs: errors fed back, ranges of int8 layers found, outliers moved into weights.

use std::path::Path;

use dino_core::{DType, Tensor};
use dino_llm::evaluate::{Divergence, compare};
use dino_llm::quantize::{
    Calibrator, FileQuantizer, HessianOptions, Hessians, Int8Options, QuantizeError,
    calibrate_int8, read_imatrix, read_int8, tensor_facts, write_imatrix,
};
use dino_llm::{Generator, Int8, Model, ModelBuilder};
use dino_models::format::ModelFile;
use dino_models::format::gguf::{TensorInfo, Writer};
use dino_quant::calibration::{Calibration, Observer};
use dino_quant::feedback::Method;
use dino_quant::plan::{Plan, Preset, Rules};

const GQA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny/gqa.gguf");
const TEXT: &str =
    "The sea was calm and the sky was wide, and nothing moved but the light on the water. ";

fn open(path: &Path) -> ModelFile {
    ModelFile::open(path).unwrap()
}

fn pure(file: &ModelFile, preset: &str) -> Plan {
    let rules = Rules {
        pure: true,
        ..Rules::new(Preset::from_name(preset).unwrap())
    };
    rules.plan(&tensor_facts(file)).0
}

fn calibrate(file: &Path, text: &str) -> Calibration {
    let mut calibrator = Calibrator::new(Model::builder(), open(file), 64).unwrap();
    calibrator
        .read(Path::new("sea.txt"), text, 8, |_, _| {})
        .unwrap();
    calibrator.finish()
}

/// Mean divergence from the precise model of `base`, over tokens of the text.
fn divergence(base: &Path, other: ModelBuilder, path: &Path) -> f64 {
    let models = [
        Model::builder().precise(true).load(base).unwrap(),
        other.load(path).unwrap(),
    ];
    let tokens = models[0]
        .tokenizer()
        .encode(&TEXT.repeat(3), Default::default())
        .unwrap();
    let tokens = &tokens[..tokens.len().min(100)];
    let [mut base, mut other] = [&models[0], &models[1]].map(Generator::new);
    let mut divergence = Divergence::default();
    compare(&mut base, &mut other, tokens, 4, &mut divergence).unwrap();
    divergence.summary().mean_kl.value
}

#[test]
fn errors_that_are_fed_back_cost_less() {
    let (folder, base) = (tempfile::tempdir().unwrap(), Path::new(GQA));
    let text = TEXT.repeat(40);
    let calibration = calibrate(base, &text);
    let file = open(base);
    let plan = pure(&file, "Q4_0");
    let [rounded, fed_back] = ["rounded", "fed-back"].map(|name| folder.path().join(name));
    let quantizer = || FileQuantizer::new(&file, &plan).calibration(&calibration);
    quantizer().write(&rounded).unwrap();
    // Room for one input at a time, so that each has a run of its own, and for all.
    let bytes = [1, 1 << 30].map(|budget| {
        let options = HessianOptions {
            chunk: 64,
            chunks: 8,
            budget,
        };
        let builder = Model::builder();
        let hessians = Hessians::new(builder, open(base), &text, &calibration, options);
        let mut hessians = hessians.unwrap();
        let report = quantizer()
            .feedback(&mut hessians)
            .write(&fed_back)
            .unwrap();
        let methods = report
            .tensors
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor.method));
        let plain: Vec<_> = methods
            .filter(|(_, method)| *method == Method::Rounded)
            .collect();
        let is_kept =
            |(name, _): &(&str, Method)| name.contains("norm") || name.starts_with("token_embd");
        assert!(plain.iter().all(is_kept), "{plain:?}");
        std::fs::read(&fed_back).unwrap()
    });
    assert!(bytes[0] == bytes[1], "the same bytes for any budget");
    let precise = || Model::builder().precise(true);
    let [of_rounded, of_fed_back] =
        [&rounded, &fed_back].map(|path| divergence(base, precise(), path));
    assert!(
        of_fed_back < 0.8 * of_rounded,
        "{of_fed_back}, rounded {of_rounded}"
    );
}

#[test]
fn what_is_seen_is_kept_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let calibration = calibrate(Path::new(GQA), &TEXT.repeat(40));
    let path = folder.path().join("seen.gguf");
    write_imatrix(&path, &calibration).unwrap();
    let back = read_imatrix(&path).unwrap();
    for (name, stats) in &calibration.inputs {
        let found = &back.inputs[name];
        assert_eq!(
            (found.limits, &found.histogram),
            (stats.limits, &stats.histogram),
            "{name}"
        );
        for observer in ["minmax", "percentile:99", "entropy", "mse"] {
            let observer: Observer = observer.parse().unwrap();
            let [least, greatest] = observer.range(found, 255).unwrap();
            assert!(
                stats.limits[0] <= least && least <= 0.0,
                "{name} {observer:?}"
            );
            assert!(
                stats.limits[1] >= greatest && greatest >= 0.0,
                "{name} {observer:?}"
            );
        }
    }
    assert_eq!(back.shared_inputs(), calibration.shared_inputs());
}

/// The same function as the tiny model's, with some channels of what norms give 40 times as large.
fn with_outliers(path: &Path) {
    let file = open(Path::new(GQA));
    let changed: Vec<(TensorInfo, Vec<f32>)> = file
        .weights
        .iter()
        .map(|tensor: Tensor| {
            let (name, columns) = (tensor.name(), tensor.columns());
            let mut values = tensor.to_array().unwrap().into_raw_vec_and_offset().0;
            let is_norm = name.contains("attn_norm") || name.contains("ffn_norm");
            let reads = ["attn_q.", "attn_k.", "attn_v.", "ffn_gate.", "ffn_up."];
            let factor = match () {
                () if is_norm => 40.0,
                () if reads.iter().any(|part| name.contains(part)) => 1.0 / 40.0,
                () => 1.0,
            };
            for row in values.chunks_exact_mut(columns) {
                for channel in [5, 17] {
                    row[channel] *= factor;
                }
            }
            let info = TensorInfo {
                name: name.into(),
                dtype: DType::F32,
                shape: tensor.shape().to_vec(),
            };
            (info, values)
        })
        .collect();
    let infos: Vec<_> = changed.iter().map(|(info, _)| info.clone()).collect();
    let mut writer = Writer::create(path, &file.metadata, &infos).unwrap();
    for (_, values) in &changed {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        writer.tensor(&bytes).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn smoothing_saves_static_ranges_from_outliers() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("outliers.gguf");
    with_outliers(&model);
    assert!(divergence(Path::new(GQA), Model::builder().precise(true), &model) < 1e-6);
    let text = TEXT.repeat(40);
    let find = |ranges: &str, smooth| {
        let options = Int8Options {
            ranges: ranges.parse().unwrap(),
            smooth,
            chunk: 64,
            chunks: 8,
            ..Int8Options::default()
        };
        let open = || Ok::<_, QuantizeError>(open(&model));
        calibrate_int8(&Model::builder(), open, &text, options, |_, _| {}).unwrap()
    };
    let of = |int8: Int8| divergence(&model, Model::builder().int8(int8), &model);
    let plain = of(find("minmax", None));
    let smoothed = of(find("minmax", Some(0.5)));
    let tokens = of(find("token", Some(0.5)));
    assert!(
        smoothed < plain / 10.0,
        "{smoothed}, without smoothing {plain}"
    );
    // A scale for each token is no worse than one for all, but for what chance does.
    assert!(tokens < 1.5 * smoothed, "{tokens}, static {smoothed}");

    // The mode is kept in a quantized file, and does what it did before.
    let (file, int8) = (open(&model), find("mse", Some(0.5)));
    // Blocks of Q8_0 would round the columns that are 40 times as small away.
    let plan = pure(&file, "F16");
    let path = folder.path().join("f16.gguf");
    FileQuantizer::new(&file, &plan)
        .int8(&int8)
        .write(&path)
        .unwrap();
    let stored = read_int8(&path).unwrap();
    assert!(stored.layers().eq(int8.layers()));
    assert_eq!(stored.layers().len(), 4 * 2);
    let kept = divergence(&model, Model::builder().int8(stored), &path);
    assert!(kept < 2.0 * smoothed, "{kept}, {smoothed}");
    assert!(matches!(read_int8(GQA), Err(QuantizeError::NoInt8 { .. })));
}
