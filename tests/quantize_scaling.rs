//! Models whose channels are scaled answer as before, and lose less when they are quantized.

use std::path::Path;

use dino_kernels::{Compute, KvType};
use dino_llm::quantize::{
    Calibrator, FileQuantizer, HessianOptions, Hessians, QuantizeError, Scaling, ScalingSource,
    tensor_facts,
};
use dino_llm::{CancelToken, Model};
use dino_models::arch::{Loader, LoaderOptions, Registry};
use dino_models::format::ModelFile;
use dino_models::{Batch, Scratch, Wanted};
use dino_quant::calibration::Calibration;
use dino_quant::feedback::Method;
use dino_quant::plan::{Plan, Preset, Rules};
use dino_quant::prune::{Criterion, Pruning, Sparsity};
use ndarray::Array2;

const GQA: &str = "tiny/gqa.gguf";
const TEXT: &str =
    "The sea was calm and the sky was wide, and nothing moved but the light on the water. ";

fn golden(name: &str) -> ModelFile {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    Registry::default().open(golden.join(name)).unwrap()
}

fn plan(file: &ModelFile, preset: &str) -> Plan {
    let mut rules = Rules::new(Preset::from_name(preset).unwrap());
    rules.pure = true;
    rules.plan(&tensor_facts(file)).0
}

/// Writes the file as `plan` says, and reads it again.
fn written(quantizer: FileQuantizer<'_>) -> ModelFile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gguf");
    quantizer.write(&path).unwrap();
    ModelFile::open(&path).unwrap()
}

/// The logits of 24 tokens, in f32.
fn logits(file: &ModelFile) -> Array2<f32> {
    let compute = Compute::new(1).unwrap();
    let options = LoaderOptions {
        precise: true,
        ..LoaderOptions::default()
    };
    let model = Registry::default()
        .build(&mut Loader::new(file, &compute, options))
        .unwrap();
    let tokens: Vec<u32> = (0..24).map(|i| i * 7 % 61).collect();
    let (mut cache, mut scratch) = (model.config().new_cache(KvType::F32, None), Scratch::new());
    let mut batch = Batch::default();
    batch.push(cache.add(), &tokens, Wanted::All);
    model
        .forward(&compute, &batch, &mut cache, &mut scratch)
        .unwrap();
    scratch.logits().to_owned()
}

/// Powers of two change exponents alone: the scaled model's logits are those of the model, to the bit, in every architecture.
#[test]
fn scaled_models_answer_as_before() {
    // How many inputs of each model can be scaled: up to four a layer, and the head's if it is no embedding table.
    let models = [
        ("tiny/gqa.gguf", 8),
        ("tiny/untied_f32.gguf", 9),
        ("tiny/bias", 8),
        // Fused matrices.
        ("tiny_architectures/phi3.gguf", 9),
        ("tiny_architectures/glm4.gguf", 9),
        // Layer norms and plain feed-forward parts, which are not linear.
        ("tiny_architectures/gpt2.gguf", 6),
        ("tiny_architectures/gptneox.gguf", 7),
        ("tiny_architectures/starcoder2.gguf", 6),
        // One norm for both parts of a layer.
        ("tiny_architectures/command-r.gguf", 6),
        ("tiny_architectures/cohere2.gguf", 15),
        ("tiny_architectures/phi2.gguf", 5),
        ("tiny_architectures/stablelm-parallel.gguf", 7),
        // Norms around and behind parts, norms that add 1 to their weights.
        ("tiny_architectures/gemma.gguf", 8),
        ("tiny_architectures/gemma2.gguf", 12),
        ("tiny_architectures/gemma3.gguf", 28),
        ("tiny_architectures/olmo2.gguf", 5),
        ("tiny_architectures/exaone4.gguf", 9),
        ("tiny_architectures/qwen3.gguf", 8),
        // Experts, and mixers that are no attention.
        ("tiny_architectures/mixtral.gguf", 5),
        ("tiny_architectures/qwen2moe.gguf", 5),
        ("tiny_architectures/qwen35.gguf", 13),
        ("tiny_architectures/qwen3next.gguf", 3),
        ("tiny_architectures/lfm2.gguf", 8),
        ("tiny_architectures/lfm2moe.gguf", 6),
        ("tiny_architectures/mamba2.gguf", 1),
    ];
    for (name, groups) in models {
        let file = golden(name);
        let mut scaled = 0;
        let scaling = Scaling::with_factors(&file, |readers, channels| {
            scaled += readers.len();
            let power = |channel: usize| ((channel * 5 + readers[0].len()) % 7) as i32 - 3;
            Some((0..channels).map(|c| 2.0_f32.powi(power(c))).collect())
        });
        let scaling = scaling.unwrap();
        let plan = plan(&file, "F32");
        let plain = written(FileQuantizer::new(&file, &plan));
        let changed = written(FileQuantizer::new(&file, &plan).scaling(&scaling));
        let differ = |name: &&str| {
            let [a, b] = [&plain, &changed].map(|file| file.weights.get(name).unwrap());
            a.storage().as_slice() != b.storage().as_slice()
        };
        let different = plain.weights.names().filter(differ).count();
        assert!(different >= scaled, "{name}: {different} of {scaled}");
        assert_eq!(logits(&changed), logits(&plain), "{name}");
        assert_eq!(scaling.groups, groups, "{name}");
    }
}

fn calibrated() -> Calibration {
    let mut calibrator = Calibrator::new(Model::builder(), golden(GQA), 64).unwrap();
    let text = TEXT.repeat(40);
    calibrator
        .read(Path::new("sea"), &text, 4, |_, _| {})
        .unwrap();
    calibrator.finish()
}

fn hessians(calibration: &Calibration) -> Hessians {
    let options = HessianOptions {
        chunk: 64,
        chunks: 4,
        ..HessianOptions::default()
    };
    let text = TEXT.repeat(40);
    Hessians::new(Model::builder(), golden(GQA), &text, calibration, options).unwrap()
}

fn source<'a>(
    file: &'a ModelFile,
    plan: &'a Plan,
    calibration: &'a Calibration,
) -> ScalingSource<'a> {
    ScalingSource {
        file,
        plan,
        calibration,
        hessians: None,
        feedback: false,
        pruning: None,
        cancel: CancelToken::new(),
    }
}

/// What the results of the matrices `names` lose, which read the norm `norm`, as the files say: whatever they were multiplied
/// by is divided out again by the norm of the file.
fn lost(from: &ModelFile, to: &ModelFile, norm: &str, names: &[&str], squares: &[f32]) -> f64 {
    let values = |file: &ModelFile, name: &str| file.weights.get(name).unwrap().to_array().unwrap();
    let (old, new) = (values(from, norm), values(to, norm));
    let mut sum = 0.0;
    for name in names {
        let (old_rows, new_rows) = (values(from, name), values(to, name));
        for ((row, column), x) in old_rows.indexed_iter() {
            let part = new[[0, column]] / old[[0, column]];
            let miss = f64::from(x - new_rows[[row, column]] * part);
            sum += miss * miss * f64::from(squares[column]);
        }
    }
    sum
}

/// Read off the files alone, the matrices of a scaled group lose what was said, and less than unscaled.
#[test]
fn scaled_matrices_lose_less() {
    let (file, calibration) = (golden(GQA), calibrated());
    for preset in ["Q4_0", "Q4_1", "IQ4_NL", "MXFP4"] {
        let plan = plan(&file, preset);
        let scaling = Scaling::find(source(&file, &plan, &calibration), |_, _| {}).unwrap();
        assert_eq!(scaling.groups, 8);
        let quantizer = || FileQuantizer::new(&file, &plan).calibration(&calibration);
        let (plain, scaled) = (written(quantizer()), written(quantizer().scaling(&scaling)));
        let mut judged = 0;
        for layer in 0..2 {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            let pairs = [
                ("attn_norm", ["attn_q", "attn_k", "attn_v"].as_slice()),
                ("ffn_norm", &["ffn_gate", "ffn_up"]),
            ];
            for (norm, readers) in pairs {
                let readers: Vec<String> = readers.iter().map(|part| name(part)).collect();
                let found = scaling.found.iter().find(|f| f.readers == readers);
                let Some(found) = found else { continue };
                // Rows of `v` and `up` may be scaled, too, for what reads those.
                let whole = |n: &&String| !n.contains("attn_v") && !n.contains("ffn_up");
                let names: Vec<&str> = readers.iter().filter(whole).map(|n| &**n).collect();
                let squares = calibration.importance(names[0]).unwrap();
                let [with, without] =
                    [&scaled, &plain].map(|to| lost(&file, to, &name(norm), &names, &squares));
                assert!(
                    with < 1.02 * without,
                    "{preset} {names:?}: {with}, {without}"
                );
                let scales = &found.scales;
                assert!(scales.error < scales.plain_error, "{preset} {names:?}");
                if names.len() == readers.len() {
                    let said = scales.error / with;
                    assert!((said - 1.0).abs() < 1e-3, "{preset} {names:?}: {said}");
                }
                judged += 1;
            }
        }
        assert!(
            judged > 0,
            "{preset}: {} groups scaled",
            scaling.found.len()
        );
        assert_eq!(
            scaled.metadata.get::<u32>("dino.quantize.awq").unwrap() as usize,
            scaling.found.len()
        );
    }
}

/// With feedback and Hessians, too, what is reported is scaled, and the same each time.
#[test]
fn scaling_goes_with_feedback() {
    let (file, calibration) = (golden(GQA), calibrated());
    let plan = plan(&file, "Q4_0");
    let find = |feedback| {
        let mut hessians = hessians(&calibration);
        let source = ScalingSource {
            hessians: Some(&mut hessians),
            feedback,
            ..source(&file, &plan, &calibration)
        };
        Scaling::find(source, |_, _| {}).unwrap()
    };
    let (scaling, alone) = (find(true), find(false));
    assert!(!scaling.found.is_empty());
    assert_eq!(scaling, find(true));
    // Feedback may leave nothing to gain in some groups.
    assert!(
        scaling
            .found
            .iter()
            .all(|found| alone.found.contains(found))
    );
    let mut hessians = hessians(&calibration);
    let quantizer = FileQuantizer::new(&file, &plan).calibration(&calibration);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.gguf");
    let quantizer = quantizer.scaling(&scaling).feedback(&mut hessians);
    let report = quantizer.write(&path).unwrap();
    for tensor in &report.tensors {
        let is_reader =
            |found: &dino_llm::quantize::FoundScales| found.readers.contains(&tensor.name);
        assert_eq!(
            tensor.scaled,
            scaling.found.iter().any(is_reader),
            "{}",
            tensor.name
        );
    }
    assert!(
        report
            .tensors
            .iter()
            .any(|t| t.scaled && t.method != Method::Rounded)
    );
    logits(&ModelFile::open(&path).unwrap());
}

#[test]
fn what_cannot_gain_stays_as_it_is() {
    let (file, calibration) = (golden(GQA), calibrated());
    let groups = |plan: &Plan, pruning: Option<&Pruning>| {
        let source = ScalingSource {
            pruning,
            ..source(&file, plan, &calibration)
        };
        Scaling::find(source, |_, _| {}).unwrap().groups
    };
    // Eight bits are enough, and what is zeroed was chosen as it is.
    assert_eq!(groups(&plan(&file, "Q8_0"), None), 0);
    assert_eq!(groups(&Plan::new("as it is"), None), 0);
    let pruning = Pruning::new(Criterion::Magnitude, Sparsity::Fraction(0.5));
    let pruning = pruning.matching("blk.0.ffn_(gate|down)").unwrap();
    assert_eq!(groups(&plan(&file, "Q4_0"), Some(&pruning)), 6);
    // Of a model that was not watched nothing is known.
    let nothing = Calibration::default();
    let plan = plan(&file, "Q4_0");
    let found = Scaling::find(source(&file, &plan, &nothing), |_, _| {}).unwrap();
    assert_eq!(found.groups, 0);
    let cancelled = ScalingSource {
        cancel: CancelToken::new(),
        ..source(&file, &plan, &calibration)
    };
    cancelled.cancel.cancel();
    let result = Scaling::find(cancelled, |_, _| {});
    assert!(matches!(result, Err(QuantizeError::Cancelled)));
}
