//! Files quantized, calibrated and measured, from the outside.

use std::fs;
use std::path::Path;

use dino_core::DType;
use dino_llm::evaluate::{Divergence, compare};
use dino_llm::quantize::{
    Calibrator, FileQuantizer, QuantizeError, Sensitivity, SensitivityOptions, read_imatrix,
    tensor_facts, write_imatrix,
};
use dino_llm::{Generator, Model};
use dino_models::format::ModelFile;
use dino_quant::plan::{Plan, Preset, Rules};

const GQA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny/gqa.gguf");
const TEXT: &str =
    "The sea was calm and the sky was wide, and nothing moved but the light on the water. ";

fn plan(file: &ModelFile, preset: &str) -> Plan {
    let rules = Rules::new(Preset::from_name(preset).unwrap());
    rules.plan(&tensor_facts(file)).0
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_quantized_file_is_near_its_source_and_knows_its_plan() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q8.gguf");
    let file = ModelFile::open(GQA).unwrap();
    let plan = plan(&file, "Q8_0");
    let mut seen = 0;
    let report = FileQuantizer::new(&file, &plan)
        .file_type(7)
        .on_progress(|at| {
            assert!(at.done >= seen && at.done < at.total);
            seen = at.done;
        })
        .write(&path)
        .unwrap();
    assert!(report.bytes() < report.bytes_before());
    for tensor in &report.tensors {
        let relative = tensor.loss.map_or(0.0, |loss| loss.relative());
        assert!(relative < 0.01, "{}: {relative}", tensor.name);
    }
    assert_eq!(entries(folder.path()), 1);

    let written = ModelFile::open(&path).unwrap();
    let text: &str = written.metadata.get("dino.quantize.plan").unwrap();
    assert_eq!(Plan::from_json(text).unwrap(), plan);
    assert_eq!(written.metadata.get::<u32>("general.file_type").unwrap(), 7);
    for tensor in written.weights.iter() {
        assert_eq!(
            plan.get(tensor.name()).unwrap_or(tensor.dtype()),
            tensor.dtype()
        );
    }

    let models =
        [Path::new(GQA), &path].map(|path| Model::builder().precise(true).load(path).unwrap());
    let [mut base, mut other] = [&models[0], &models[1]].map(Generator::new);
    let tokens: Vec<u32> = (0..40).map(|i| i * 7 % 200 + 3).collect();
    let mut divergence = Divergence::default();
    compare(&mut base, &mut other, &tokens, 4, &mut divergence).unwrap();
    let summary = divergence.summary();
    assert_eq!(summary.tokens, 35);
    let kl = summary.mean_kl.value;
    assert!(kl > 0.0 && kl < 1e-2, "{kl}");
}

#[test]
fn a_text_says_what_matters_and_what_a_size_costs() {
    let folder = tempfile::tempdir().unwrap();
    let text = TEXT.repeat(40);
    let open = || ModelFile::open(GQA).unwrap();
    let mut calibrator = Calibrator::new(Model::builder(), open(), 64).unwrap();
    calibrator
        .read(Path::new("sea.txt"), &text, 3, |_, _| {})
        .unwrap();
    let calibration = calibrator.finish();
    assert_eq!((calibration.chunks, calibration.chunk_size), (3, 64));

    // Every matrix was seen, once for each token; layers with one input saw the same.
    let file = open();
    for (tensor, _) in plan(&file, "Q8_0").iter() {
        let stats = calibration.inputs.get(tensor);
        let is_table = tensor == "token_embd.weight" && file.weights.contains("output.weight");
        assert!(stats.is_some() != is_table, "{tensor}");
        if let Some(stats) = stats {
            assert_eq!(stats.counts, [192.0], "{tensor}");
            let columns = file.weights.get(tensor).unwrap().columns();
            assert_eq!(stats.sums.len(), columns, "{tensor}");
        }
    }
    let of = |name: &str| &calibration.inputs[name];
    assert_eq!(of("blk.0.attn_q.weight"), of("blk.0.attn_v.weight"));
    assert_eq!(of("blk.1.ffn_gate.weight"), of("blk.1.ffn_up.weight"));

    let path = folder.path().join("imatrix.gguf");
    write_imatrix(&path, &calibration).unwrap();
    let importance = read_imatrix(&path)
        .unwrap()
        .importance("blk.0.ffn_down.weight")
        .unwrap();
    let expected = calibration.importance("blk.0.ffn_down.weight").unwrap();
    for (x, y) in importance.iter().zip(&expected) {
        assert!((x - y).abs() <= 1e-6 * y.abs(), "{x}, {y}");
    }

    let types = [DType::Q4_0, DType::Q5_0, DType::Q8_0];
    let options = SensitivityOptions {
        chunk: 64,
        chunks: 1,
        ..SensitivityOptions::default()
    };
    let measured =
        Sensitivity::measure(&file, &text, &types, Some(&calibration), options, |_, _| {}).unwrap();
    let facts = tensor_facts(&file);
    let mut last = f64::INFINITY;
    for preset in ["Q4_0", "Q5_0", "Q8_0"] {
        let rules = Rules {
            pure: true,
            ..Rules::new(Preset::from_name(preset).unwrap())
        };
        let pure = rules.plan(&facts).0;
        let best = measured.plan_for_bytes(pure.bytes(&facts), "test").unwrap();
        assert!(best.bytes(&facts) <= pure.bytes(&facts));
        let (of_best, of_pure) = (measured.divergence(&best), measured.divergence(&pure));
        assert!(
            of_best <= of_pure * (1.0 + 1e-9),
            "{of_best}, pure {of_pure}"
        );
        assert!(of_best <= last);
        last = of_best;
    }
    assert!(measured.plan_for_bytes(1000, "test").is_err());
    // A size is kept and nearly used up, in the file as in the plan; a divergence is not exceeded by what is predicted.
    for bits in [5.0, 6.0, 8.0] {
        let bytes = (bits * measured.weights() as f64 / 8.0) as u64;
        let plan = measured.plan_for_bytes(bytes, "bits").unwrap();
        let report = FileQuantizer::new(&file, &plan).write(folder.path().join("bits.gguf"));
        let found = report.unwrap().bits_per_weight();
        assert!(found <= bits && found > bits - 0.5, "{found} of {bits}");
    }
    let mut last = u64::MAX;
    let too_little = measured.plan_for_divergence(1e-6, "nats").unwrap_err();
    assert!(
        too_little.to_string().contains("1.00e-6 were asked for"),
        "{too_little}"
    );
    for nats in [2e-3, 1e-2, 1e-1] {
        let plan = measured.plan_for_divergence(nats, "nats").unwrap();
        let (predicted, bytes) = (measured.divergence(&plan), plan.bytes(&facts));
        assert!(
            predicted <= nats * 1.000_001,
            "{predicted}, asked for {nats}"
        );
        assert!(bytes <= last, "{nats}: {bytes} after {last}");
        last = bytes;
    }
    let again = Sensitivity::from_json(&measured.to_json(), &file).unwrap();
    let bytes = facts
        .iter()
        .map(|tensor| tensor.bytes(tensor.dtype))
        .sum::<u64>()
        / 3;
    assert_eq!(
        again.plan_for_bytes(bytes, "test").unwrap(),
        measured.plan_for_bytes(bytes, "test").unwrap()
    );
}

#[test]
fn other_files_are_no_importance_matrices() {
    let error = read_imatrix(GQA).unwrap_err();
    assert!(
        matches!(error, QuantizeError::NotAnImatrix { .. }),
        "{error}"
    );
}
