//! A Hugging Face folder is loaded, tokenized and sampled as the GGUF file of the same model is.

use dino_llm::{Generator, Model, SamplingParams};
use std::path::{Path, PathBuf};

fn tiny(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/tiny")
        .join(name)
}

#[test]
fn a_folder_says_what_its_file_says() {
    let folder = Model::load(tiny("bias")).unwrap();
    let file = Model::load(tiny("bias.gguf")).unwrap();
    let params = SamplingParams::greedy().with_max_tokens(24);
    for prompt in ["hello", "the other\n\nand <|turn|>", "Été 12"] {
        let [ours, theirs] = [&folder, &file].map(|model| {
            let completion = Generator::new(model).generate(prompt, &params).unwrap();
            (completion.text, completion.usage)
        });
        assert_eq!(ours, theirs, "{prompt}");
    }
    assert!(folder.chat_template().is_ok());
}

#[test]
fn a_file_of_a_folder_stands_for_it() {
    for name in [
        "bias/config.json",
        "bias/model.safetensors",
        "split/model.safetensors.index.json",
    ] {
        assert!(Model::load(tiny(name)).is_ok(), "{name}");
    }
}

#[test]
fn the_makers_sampling_is_known() {
    let model = Model::load(tiny("bias")).unwrap();
    let params = model.generation_defaults().unwrap();
    assert_eq!(
        (params.temperature, params.top_k, params.top_p),
        (0.6, 20, 0.95)
    );
    // The list of generation_config.json, not the tokenizer's one token alone.
    assert!(
        model.end_of_generation().len() >= 2,
        "{:?}",
        model.end_of_generation()
    );
}

#[test]
fn weights_are_quantized_on_the_way_in() {
    use dino_llm::DType;
    use dino_llm::dino_quant::BlockRequantizer;
    let builder = || Model::builder().requantize(BlockRequantizer::new(DType::Q8_0).unwrap());
    let params = SamplingParams::greedy().with_max_tokens(8);
    let texts = ["bias", "bias.gguf"].map(|name| {
        let model = builder().load(tiny(name)).unwrap();
        Generator::new(&model)
            .generate("hello", &params)
            .unwrap()
            .text
    });
    assert_eq!(texts[0], texts[1]);
}
