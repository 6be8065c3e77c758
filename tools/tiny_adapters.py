#!/usr/bin/env python3
"""Write tests/golden/tiny_adapters/: LoRA adapters of the tiny model `gqa`, as PEFT folders and as GGUF, and peft's logits.

The adapters are random. `NAME/` is the folder that `peft` saves, `NAME.gguf` the same with the names and the order of rows that
llama.cpp's converter writes. `NAME.f32` holds the logits of the last rows of the model's golden ids, little-endian f32
`[ROWS, vocabulary]`. `on/NAME` and `on/NAME.f32` are folder and logits of an adapter of every linear layer of the model
`NAME` of tests/golden/tiny_architectures/.
"""

import argparse
import json
import pathlib
import shutil

import gguf
import numpy as np
import peft
import torch
from transformers import AutoModelForCausalLM

from tiny_models import VARIANTS, gguf_name, permute, random_model, store

ROWS = 4
ADAPTERS = {
    "attention": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
    "all": {"r": 2, "lora_alpha": 3, "target_modules": "all-linear"},
    "ranks": {"r": 2, "lora_alpha": 2, "target_modules": ["q_proj", "down_proj"], "use_rslora": True,
              "rank_pattern": {"down_proj": 3}, "alpha_pattern": {"q_proj": 5}},
}

# Layers that files store in one, transposed, or in another order of rows.
ON = ["phi3", "gpt2", "gptneox", "granite", "qwen3", "cohere2", "falcon", "mistral"]


def randomize(model, name):
    generator = torch.Generator().manual_seed(sum(name.encode()))
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise / parameter.shape[1] ** 0.5)


def write_folder(model, ids, folder):
    """What peft saves, and the last logits of `ids`."""
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].float().numpy()
    model.save_pretrained(folder)
    for extra in folder.glob("README*"):
        extra.unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = None
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2))
    folder.with_name(folder.name + ".f32").write_bytes(logits[-ROWS:].astype("<f4").tobytes())


def write_gguf(path, variant, model, name):
    """The adapter as GGUF; what peft multiplies by is folded into B where it is not alpha / rank."""
    config = model.peft_config["default"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config.lora_alpha))
    heads = {"attn_q": variant.heads, "attn_k": variant.kv_heads}
    for module_name, module in model.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        kind, tensor = gguf_name(module_name.removeprefix("base_model.model.") + ".weight")
        down = module.lora_A["default"].weight.detach().numpy()
        up = module.lora_B["default"].weight.detach().numpy()
        up = up * np.float32(module.scaling["default"] * len(down) / config.lora_alpha)
        if kind in heads:
            up = permute(up, heads[kind])
        writer.add_tensor(f"{tensor}.lora_a", down)
        writer.add_tensor(f"{tensor}.lora_b", up)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/tiny_adapters")
    folder = parser.parse_args().out
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    variant = VARIANTS[0]
    golden = json.loads(pathlib.Path("tests/golden/tiny/index.json").read_text())[0]
    for name, settings in ADAPTERS.items():
        base = random_model(variant, variant.vocabulary())
        store(variant, base)
        model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
        randomize(model, name)
        write_folder(model, golden["ids"], folder / name)
        write_gguf(folder / f"{name}.gguf", variant, model, name)
    architectures = pathlib.Path("tests/golden/tiny_architectures")
    known = {entry["name"]: entry for entry in json.loads((architectures / "index.json").read_text())}
    for name in ON:
        base = AutoModelForCausalLM.from_pretrained(architectures / name, dtype=torch.float32, attn_implementation="eager").eval()
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=2, target_modules="all-linear")
        model = peft.get_peft_model(base, config).eval()
        randomize(model, name)
        write_folder(model, known[name]["ids"], folder / "on" / name)
    print(f"{folder}: {sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())} bytes")


if __name__ == "__main__":
    main()
