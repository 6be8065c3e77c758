#!/usr/bin/env python3
"""Write every kind of file that the example `quantize` makes of a model: each type alone, each mixture, automatic plans for each
kind of target, error feedback, pruned models, ranges of int8 layers, files made of a Hugging Face folder.

    quantize_variants.py base.gguf variants --calibration calibration.txt
    llamacpp_perplexity.py evaluation.txt --ours target/release/examples/perplexity variants/*.gguf
    compare --base base.gguf --file evaluation.txt --svg plot.svg variants/*.gguf

Files that are there already are kept. --only takes names, with * and ?. Those made of a folder need a SmolLM2 file, which is
stored as a folder first. Needs: gguf; for the folder: torch, transformers, tokenizers.
"""

import argparse
import fnmatch
import json
import pathlib
import subprocess
import sys
import time

import gguf

TYPES = ["F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "MXFP4", "Q3_K", "Q2_K"]
SMALL = ["Q2_K_S", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "IQ4_NL", "IQ4_XS", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M"]
LARGE = ["Q6_K", "Q8_0", "F16"]
WEIGHTS = ["magnitude:0.5", "wanda:0.5", "wanda:0.7", "wanda:2:4", "wanda:4:8"]
PARTS = ["layers:2", "ffn:0.25", "heads:0.34"]
INT8 = {"token": [], "token-smooth": ["--smooth", "0.5"], "minmax": [], "minmax-smooth": ["--smooth", "0.5"], "mse-smooth": ["--smooth", "0.5"]}


def variants(arguments):
    """Names with the arguments that make them; later ones may look at files of earlier ones."""
    out, f32_bytes = arguments.out, 4 * sum(int(tensor.n_elements) for tensor in gguf.GGUFReader(arguments.base).tensors)
    few = ["--calibration", arguments.calibration, "--chunks", max(arguments.chunks // 2, 1)]
    importance = ["--imatrix", out / "imatrix"]
    plan = [*importance, *few, "--sensitivity", out / "sensitivity"]
    precise_ends = ["--token-embedding-type", "Q8_0", "--output-tensor-type", "Q8_0", *importance]

    found = {name: lambda name=name: ["--type", name, *importance] for name in SMALL + LARGE}
    found |= {f"pure-{name}": lambda name=name: ["--type", name, "--pure", *importance] for name in TYPES}
    found |= {f"auto-{name}": lambda name=name: [*plan, "--target-size", tensor_bytes(out / f"{name}.gguf")] for name in SMALL}
    found["auto-quarter"] = lambda: [*plan, "--target-size", f32_bytes // 4]
    found["auto-eighth"] = lambda: [*plan, "--target-size", f32_bytes // 8]
    found["auto-bpw-5"] = lambda: [*plan, "--target-bpw", 5]
    found["auto-kl-0.02"] = lambda: [*plan, "--target-kl", 0.02]
    for name in ["Q4_0", "Q4_K", "Q2_K"]:
        found[f"rounded-{name}"] = lambda name=name: ["--type", name, "--pure", *precise_ends]
        found[f"gptq-{name}"] = lambda name=name: ["--type", name, "--pure", *precise_ends, *few, "--gptq"]
    for prune in WEIGHTS:
        found[prune.replace(":", "-")] = lambda prune=prune: ["--type", "Q8_0", "--prune", prune, *importance]
    for prune in PARTS:
        found[prune.replace(":", "-")] = lambda prune=prune: ["--type", "Q8_0", "--prune", prune, *few]
    for name, smooth in INT8.items():
        found[f"int8-{name}"] = lambda name=name, smooth=smooth: ["--type", "Q8_0", *few, "--int8", name.split("-")[0], *smooth]
    for name in ["Q4_K_M", "F16"]:
        found[f"folder-{name}"] = lambda name=name: ["--model", folder(arguments.base, out / "folder"), "--type", name]
    return found


def tensor_bytes(path):
    return sum(int(tensor.n_bytes) for tensor in gguf.GGUFReader(path).tensors)


def folder(base, path):
    """The model as Hugging Face stores it."""
    if (path / "config.json").exists():
        return path
    import torch
    from reference import load_model, load_tokenizer, metadata
    path.mkdir(exist_ok=True)
    load_tokenizer(base).save(str(path / "tokenizer.json"))
    data = metadata(base)
    special = {f"{name}_token": data["tokenizer.ggml.tokens"][data[f"tokenizer.ggml.{name}_token_id"]] for name in ("bos", "eos")}
    settings = {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": bool(data.get("tokenizer.ggml.add_bos_token", False)),
                "chat_template": data["tokenizer.chat_template"], **special}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    model = load_model(base)
    # One that was read from GGUF says that it is quantized, and is not stored.
    del model.config.quantization_config
    plain = type(model)(model.config)
    plain.load_state_dict(model.state_dict())
    plain.to(torch.float16).save_pretrained(path)
    config = json.loads((path / "config.json").read_text())
    config.pop("_model_name_or_path", None)  # where the GGUF file was
    (path / "config.json").write_text(json.dumps(config, indent=2))
    return path


def quantize(arguments, *more):
    model = [] if "--model" in more else ["--model", arguments.base]
    command = [arguments.quantize, *model, *more, "--threads", arguments.threads]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--calibration", type=pathlib.Path, required=True)
    parser.add_argument("--chunks", type=int, default=12, help="pieces of 512 tokens for the importance; half of them for all else")
    parser.add_argument("--quantize", default="target/release/examples/quantize", help="the built example")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="NAME")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    if not (arguments.out / "imatrix").exists():
        quantize(arguments, "--dry-run", "--calibration", arguments.calibration, "--chunks", arguments.chunks,
                 "--save-imatrix", arguments.out / "imatrix").check_returncode()
    failed = 0
    for name, made_by in variants(arguments).items():
        path = arguments.out / f"{name}.gguf"
        if path.exists() or not any(fnmatch.fnmatch(name, pattern) for pattern in arguments.only):
            continue
        started = time.monotonic()
        result = quantize(arguments, *made_by(), "--out", path)
        said = (result.stdout if result.returncode == 0 else result.stderr).splitlines()
        predicted = [line.split("\r")[-1] for line in result.stderr.splitlines() if "predicted" in line]
        print(f"{name}: {'; '.join(predicted + said[-1:])} ({time.monotonic() - started:.0f} s in all)", flush=True)
        failed += result.returncode != 0
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
