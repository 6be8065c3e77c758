//! What goes wrong while a file is quantized is told clearly, leaves nothing behind and spares the source.

use std::fs;
use std::path::{Path, PathBuf};

use dino_core::{DType, Storage, Tensor};
use dino_llm::quantize::{
    Calibrator, FileQuantizer, HessianOptions, Hessians, Int8Options, QuantizeError, Report,
    Scaling, ScalingSource, calibrate_int8, tensor_facts,
};
use dino_llm::{CancelToken, Generator, Int8, Model, SamplingParams};
use dino_models::arch::Registry;
use dino_models::format::{FormatError, Metadata, ModelFile, Value, Weights};
use dino_quant::calibration::Calibration;
use dino_quant::plan::{Plan, Preset, Rules};
use dino_quant::prune::{Criterion, Pruning, Sparsity};
use dino_quant::{BlockRequantizer, QuantError};

fn tiny(name: &str) -> PathBuf {
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny");
    tiny.join(name)
}

fn open(path: impl AsRef<Path>) -> ModelFile {
    Registry::default().open(path).unwrap()
}

fn q8(file: &ModelFile) -> Plan {
    let rules = Rules::new(Preset::from_name("Q8_0").unwrap());
    rules.plan(&tensor_facts(file)).0
}

fn write(file: &ModelFile, output: &Path) -> Result<Report, QuantizeError> {
    FileQuantizer::new(file, &q8(file)).write(output)
}

/// Names and bytes of all that is in a folder.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.path().is_file());
    let mut files: Vec<_> = files
        .map(|entry| (entry.path(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// The files of the folder or split model `name`, where they may be written to.
fn copies(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let entries = fs::read_dir(tiny(name)).unwrap();
    for entry in entries.map(|entry| entry.unwrap()) {
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

/// A file whose one matrix holds `value` in row 2, column 6.
fn damaged(value: f32) -> ModelFile {
    let mut values = vec![0.5_f32; 4 * 32];
    values[70] = value;
    let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensor = Tensor::new("a.weight", DType::F32, &[4, 32], Storage::from_vec(bytes)).unwrap();
    let mut weights = Weights::new("damaged");
    weights.insert(tensor).unwrap();
    ModelFile {
        metadata: Metadata::new("damaged").with("general.architecture", "llama"),
        weights,
        path: "damaged".into(),
    }
}

#[test]
fn a_damaged_weight_is_named_even_in_a_tensor_that_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    for (value, dtype) in [
        (f32::NAN, DType::Q4_0),
        (f32::INFINITY, DType::Q8_0),
        (1e6, DType::F16),
        (f32::NEG_INFINITY, DType::F32),
    ] {
        let file = damaged(value);
        let mut plan = Plan::new("test");
        plan.set("a.weight", dtype);
        let output = folder.path().join("out.gguf");
        let error = FileQuantizer::new(&file, &plan).write(output).unwrap_err();
        let named = matches!(
            &error,
            QuantizeError::Tensor { tensor, source, .. } if tensor == "a.weight" && matches!(
                source,
                QuantError::NotFinite { row: 2, column: 6, .. } | QuantError::TooLarge { row: 2, column: 6, .. }
            )
        );
        assert!(named, "{error}");
        assert!(error.to_string().contains("row 2, column 6"), "{error}");
    }
    assert!(contents(folder.path()).is_empty());
}

#[test]
fn a_plan_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::new("test");
    plan.set("b.weight", DType::Q8_0);
    let result = FileQuantizer::new(&open(tiny("gqa.gguf")), &plan).write(folder.path().join("o"));
    assert!(
        matches!(result, Err(QuantizeError::UnknownTensor { tensor, .. }) if tensor == "b.weight")
    );
    assert!(contents(folder.path()).is_empty());
}

#[test]
fn cancelled_halfway_nothing_is_left_and_what_stood_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.gguf");
    fs::write(&output, "older").unwrap();
    let before = contents(folder.path());
    let file = open(tiny("gqa.gguf"));
    let (cancel, mut tensors) = (CancelToken::new(), 0);
    let result = FileQuantizer::new(&file, &q8(&file))
        .cancel(cancel.clone())
        .on_progress(|_| {
            tensors += 1;
            if tensors == 5 {
                // The unfinished file stands beside its place.
                assert_eq!(contents(folder.path()).len(), 2);
                cancel.cancel();
            }
        })
        .write(&output);
    assert!(matches!(result, Err(QuantizeError::Cancelled)));
    assert_eq!(tensors, 5);
    assert!(contents(folder.path()) == before);
}

#[test]
fn an_output_without_a_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = open(tiny("gqa.gguf"));
    for place in ["none/out.gguf", ".", ""] {
        let output = folder.path().join(place);
        let error = write(&file, &output).unwrap_err();
        let is_write = matches!(&error, QuantizeError::Format(FormatError::Write { file, .. }) if *file == output);
        assert!(is_write, "{error}");
    }
    assert!(contents(folder.path()).is_empty());
}

/// A program that may do everything would replace `/dev/null`.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = write(&open(tiny("gqa.gguf")), &socket).unwrap_err();
    assert!(
        error.to_string().ends_with("it is there and is no file"),
        "{error}"
    );
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn assert_spared(file: &ModelFile, output: &Path, folder: &Path) {
    let before = contents(folder);
    let error = write(file, output).unwrap_err();
    assert!(matches!(error, QuantizeError::SameFile { .. }), "{error}");
    assert!(contents(folder) == before, "{}", output.display());
}

#[test]
fn the_source_is_never_replaced_however_it_is_spelled() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let path = here.join("m.gguf");
    fs::copy(tiny("gqa.gguf"), &path).unwrap();
    let file = open(&path);
    let around = here.join("..").join(here.file_name().unwrap());
    assert_spared(&file, &path, here);
    assert_spared(&file, &around.join("m.gguf"), here);
    assert_spared(&file, &here.join("./m.gguf"), here);
    #[cfg(unix)]
    {
        let link = here.join("link.gguf");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_spared(&file, &link, here);
        assert_spared(&open(&link), &path, here);
        // Another name of the same bytes gets bytes of its own.
        let hard = here.join("hard.gguf");
        fs::hard_link(&path, &hard).unwrap();
        write(&file, &hard).unwrap();
        assert!(fs::read(&path).unwrap() == fs::read(tiny("gqa.gguf")).unwrap());
    }
}

#[test]
fn no_part_of_the_source_is_replaced() {
    let folder = copies("split");
    let here = folder.path();
    let file = open(here);
    for name in [
        "model-00002-of-00003.safetensors",
        "model.safetensors.index.json",
        "config.json",
        "tokenizer.json",
    ] {
        assert_spared(&file, &here.join(name), here);
    }
    let folder = tempfile::tempdir().unwrap();
    let part = |i| format!("split-0000{i}-of-00003.gguf");
    for i in 1..=3 {
        fs::copy(tiny(&part(i)), folder.path().join(part(i))).unwrap();
    }
    let file = open(folder.path().join(part(1)));
    for i in 1..=3 {
        assert_spared(&file, &folder.path().join(part(i)), folder.path());
    }
}

#[test]
fn the_file_of_a_folder_holds_its_tokenizer() {
    let folder = copies("bias");
    let output = folder.path().join("q8.gguf");
    write(&open(folder.path()), &output).unwrap();
    let written = ModelFile::open(&output).unwrap();
    assert!(written.metadata.contains("tokenizer.ggml.merges"));
    // As the converter writes it, and llama.cpp asks for it.
    assert!(written.metadata.get::<u32>("llama.block_count").is_ok());
    let is_wide = |value: &Value| matches!(value, Value::U64(_) | Value::I64(_) | Value::F64(_));
    assert!(!written.metadata.iter().any(|(_, value)| is_wide(value)));
    let params = SamplingParams::greedy().with_max_tokens(16);
    let q8 = || BlockRequantizer::new(DType::Q8_0).unwrap();
    let [ours, theirs] = [folder.path(), &output].map(|path| {
        let model = Model::builder().requantize(q8()).load(path).unwrap();
        let completion = Generator::new(&model).generate("hello", &params);
        completion.unwrap().text
    });
    assert_eq!(ours, theirs);

    fs::remove_file(&output).unwrap();
    fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let before = contents(folder.path());
    let error = write(&open(folder.path()), &output).unwrap_err();
    assert!(
        matches!(error, QuantizeError::NoTokenizer { .. }),
        "{error}"
    );
    assert!(contents(folder.path()) == before);
}

/// A plan that was edited to what a tensor cannot be.
#[test]
fn a_plan_with_an_impossible_type_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = open(tiny("gqa.gguf"));
    let mut plan = q8(&file);
    plan.set("blk.1.attn_v.weight", DType::Q4_K);
    let plan = Plan::from_json(&plan.to_json()).unwrap();
    let quantizer = FileQuantizer::new(&file, &plan);
    let error = quantizer.write(folder.path().join("o.gguf")).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("blk.1.attn_v.weight"), "{error}");
    assert!(error.contains("Q4_K") && error.contains("256"), "{error}");
    assert!(contents(folder.path()).is_empty());
}

/// What a model is quantized with besides its plan.
struct Extras {
    calibration: Calibration,
    hessians: Hessians,
    scaling: Scaling,
    int8: Int8,
    pruning: Pruning,
}

impl Extras {
    fn of(file: &ModelFile, plan: &Plan) -> Self {
        let text = "The sea was calm and the sky was wide, and nothing moved but the light. ";
        let text = text.repeat(20);
        let open = || open(tiny("gqa.gguf"));
        let mut calibrator = Calibrator::new(Model::builder(), open(), 64).unwrap();
        let name = Path::new("sea");
        calibrator.read(name, &text, 2, |_, _| {}).unwrap();
        let calibration = calibrator.finish();
        let options = HessianOptions {
            chunk: 64,
            chunks: 2,
            ..HessianOptions::default()
        };
        let hessians = Hessians::new(Model::builder(), open(), &text, &calibration, options);
        let mut hessians = hessians.unwrap();
        let scaling = Scaling::find(
            ScalingSource {
                file,
                plan,
                calibration: &calibration,
                hessians: Some(&mut hessians),
                feedback: false,
                pruning: None,
                cancel: CancelToken::new(),
            },
            |_, _| {},
        );
        let options = Int8Options {
            chunk: 64,
            chunks: 2,
            ..Int8Options::default()
        };
        let open = || Ok::<_, QuantizeError>(open());
        let int8 = calibrate_int8(&Model::builder(), open, &text, options, |_, _| {});
        let pruning = Pruning::new(Criterion::Wanda, Sparsity::Fraction(0.5));
        Self {
            calibration,
            hessians,
            scaling: scaling.unwrap(),
            int8: int8.unwrap(),
            pruning: pruning.matching("ffn_down").unwrap(),
        }
    }

    fn quantizer<'a>(&'a mut self, file: &'a ModelFile, plan: &'a Plan) -> FileQuantizer<'a> {
        FileQuantizer::new(file, plan)
            .calibration(&self.calibration)
            .prune(&self.pruning)
            .feedback(&mut self.hessians)
            .scaling(&self.scaling)
            .int8(&self.int8)
            .sparse(true)
    }
}

/// With all that can be asked for at once, too: the source is spared, a damaged weight named, and nothing left of what was
/// given up.
#[test]
fn nothing_is_left_whatever_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (path, output) = (here.join("m.gguf"), here.join("o.gguf"));
    fs::copy(tiny("gqa.gguf"), &path).unwrap();
    let file = open(&path);
    let rules = Rules::new(Preset::from_name("Q4_0").unwrap());
    let plan = rules.plan(&tensor_facts(&file)).0;
    let mut extras = Extras::of(&file, &plan);
    let before = contents(here);
    let error = extras.quantizer(&file, &plan).write(&path).unwrap_err();
    assert!(matches!(error, QuantizeError::SameFile { .. }), "{error}");
    assert!(contents(here) == before);

    let cancel = CancelToken::new();
    let mut tensors = 0;
    let quantizer = extras.quantizer(&file, &plan).cancel(cancel.clone());
    let result = quantizer.on_progress(|_| {
        tensors += 1;
        if tensors == 9 {
            cancel.cancel();
        }
    });
    let result = result.write(&output);
    assert!(matches!(result, Err(QuantizeError::Cancelled)));
    assert!(contents(here) == before);

    for name in [
        "blk.1.ffn_up.weight",
        "blk.0.attn_norm.weight",
        "blk.1.ffn_down.weight",
    ] {
        let mut weights = Weights::new("damaged");
        for tensor in file.weights.iter() {
            let mut values = tensor.to_array().unwrap();
            if tensor.name() == name {
                values[[0, 3]] = f32::NAN;
            }
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let storage = Storage::from_vec(bytes);
            let tensor = Tensor::new(tensor.name(), DType::F32, tensor.shape(), storage);
            weights.insert(tensor.unwrap()).unwrap();
        }
        let mut metadata = Metadata::new("damaged");
        file.metadata
            .iter()
            .for_each(|(key, value)| metadata.insert(key, value.clone()));
        let path = "damaged".into();
        let damaged = ModelFile {
            metadata,
            weights,
            path,
        };
        let error = extras
            .quantizer(&damaged, &plan)
            .write(&output)
            .unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains(name) && error.contains("row 0, column 3"),
            "{error}"
        );
        assert!(contents(here) == before);
    }
    extras.quantizer(&file, &plan).write(&output).unwrap();
    Model::load(&output).unwrap();
    assert_eq!(contents(here).len(), 2);
}

/// Files can grow to eight blocks in the process that does this, as on a disk that is full after them.
#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    const FOLDER: &str = "DINO_TEST_FULL_DISK";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let output = Path::new(&folder).join("out.gguf");
        let file = open(tiny("gqa.gguf"));
        let plan = q8(&file);
        let mut extras = Extras::of(&file, &plan);
        for error in [
            write(&file, &output).unwrap_err(),
            extras.quantizer(&file, &plan).write(&output).unwrap_err(),
        ] {
            let is_write = matches!(&error, QuantizeError::Format(FormatError::Write { file, source }) if *file == output
                && source.kind() == std::io::ErrorKind::FileTooLarge);
            assert!(is_write, "{error}");
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_full_disk_is_told_and_leaves_nothing"])
        .env(FOLDER, folder.path())
        .status();
    assert!(status.unwrap().success());
    assert!(contents(folder.path()).is_empty());
}
