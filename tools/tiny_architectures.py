#!/usr/bin/env python3
"""Write tests/golden/tiny_architectures/: a tiny random model of each architecture as GGUF, and transformers' logits.

Each (`tiny_configs.py`) is built by transformers from a small configuration, with weights rounded to what its file
stores before the reference is computed. The file has the names that `gguf` maps transformers' names to and the metadata
keys that llama.cpp's converter writes; no tokenizer. The folder NAME holds what transformers saves. `index.json` lists
the files with the token ids run and 64 tokens that transformers continues them with; `NAME.f32` holds their logits,
little-endian f32 `[tokens, vocabulary]`.
"""

import argparse
import json
import math
import pathlib

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

import tiny_configs
from tiny_models import write_folder
from tiny_recurrent import RECURRENT

ARCHITECTURES = tiny_configs.ARCHITECTURES + RECURRENT

TOKENS, CONTINUATION, VOCABULARY = 24, 64, 64
F32 = gguf.GGMLQuantizationType.F32
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 128, "pad_token_id": 0,
         "bos_token_id": 1, "eos_token_id": 2, "attn_implementation": "eager"}
# Tensors that files keep in F32 although they are matrices.
PRECISE = ("norm.weight", "ffn_gate_inp.weight", "wpe.weight", "conv.weight", "conv1d.weight", ".A_log", "ssm_a", "ssm_d")


def rounded(architecture, name, values):
    """Whether the file stores a parameter in the type of the matrices, and what it makes of it."""
    if values.ndim < 2 or name.endswith(PRECISE) or ".mlp.gate." in name or "router" in name or "expert_gate" in name:
        return values
    dtype = architecture.dtype_of(name)
    return dequantize(quantize(values, dtype), dtype)


def random_model(architecture, attempt):
    """A model whose logits spread like a trained one's: unit-variance layers, norms around one; rounded as stored."""
    kind = architecture.model_type or architecture.name.split("-")[0]
    sizes = {key: value for key, value in (SIZES | architecture.config).items() if value is not None}
    config = AutoConfig.for_model(kind, **sizes)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    generator = torch.Generator().manual_seed(sum(architecture.name.encode()) + 1000 * attempt)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            norm = parameter.dim() == 1 or "norm" in name
            if name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif norm:
                parameter.copy_(0.2 * noise + (not architecture.one_added_to_norms))
            else:
                noise = (noise * (1.5 / math.sqrt(parameter.shape[-1]))).numpy()
                transposed = architecture.transposed(name)
                turned = (lambda matrices: matrices.swapaxes(-1, -2).copy()) if transposed else (lambda matrices: matrices)
                parameter.copy_(torch.from_numpy(turned(rounded(architecture, name, turned(noise)))))
        for name, buffer in model.named_buffers():
            if name.endswith("expert_bias"):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
    return model


def write_metadata(writer, architecture, config):
    """The keys that all decoders have, then the architecture's own."""
    writer.add_type("model")
    writer.add_name(f"tiny {architecture.name}")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(getattr(config, "max_position_embeddings", 1 << 20))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    if not architecture.attends:
        writer.add_feed_forward_length(0)
        writer.add_head_count(0)
        writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
        architecture.keys(writer, config)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        return
    inner = getattr(config, "intermediate_size", None) or getattr(config, "ffn_hidden_size", None)
    writer.add_feed_forward_length(architecture.inner(config) or inner or 4 * config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    if heads := architecture.kv_heads(config):
        writer.add_head_count_kv(heads)
    if epsilon := getattr(config, "rms_norm_eps", None):
        writer.add_layer_norm_rms_eps(epsilon)
    for key in ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"):
        if epsilon := getattr(config, key, None):
            writer.add_layer_norm_eps(epsilon)
    if rope := getattr(config, "rope_parameters", None):
        writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    architecture.keys(writer, config)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def write_file(path, architecture, model):
    arch = architecture.arch or architecture.name
    kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == arch)
    names = gguf.get_tensor_name_map(kind, model.config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, arch)
    write_metadata(writer, architecture, model.config)
    values = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
    values |= {name: buffer.numpy() for name, buffer in model.named_buffers() if name.endswith("expert_bias")}
    for name, values in architecture.tensors(values, model.config).items():
        stored = names.get_name(name, (".weight", ".bias")) or name
        precise = values.ndim < 2 or stored.endswith(PRECISE + ("position_embd.weight", ".bias"))
        dtype = F32 if precise else architecture.dtype_of(stored)
        writer.add_tensor(stored, quantize(np.ascontiguousarray(values), dtype), raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_seeing(architecture, text, folder):
    """Save a model that also sees with `text` as its text part: as transformers does, but all experts of a layer as one
    tensor, as published folders have them."""
    kind, vision = architecture.seeing
    # The whole says again whether the head is the embedding table.
    tied = {"tie_word_embeddings": text.config.tie_word_embeddings}
    config = AutoConfig.for_model(kind, text_config=text.config.to_dict(), vision_config=vision, **tied)
    model = AutoModelForImageTextToText.from_config(config).float().eval()
    model.model.language_model.load_state_dict(text.model.state_dict())
    model.lm_head.load_state_dict(text.lm_head.state_dict())
    write_folder(model, folder)
    if "experts" in " ".join(model.state_dict()):
        stored = {name: value for name, value in load_file(folder / "model.safetensors").items() if ".experts." not in name}
        packed = {name: value.half() for name, value in model.state_dict().items() if ".experts." in name}
        save_file(stored | packed, folder / "model.safetensors", {"format": "pt"})


def write_microscaled(folder):
    """The experts of a saved folder as published ones of gpt-oss have them: blocks and scales as tensors of bytes."""
    stored = load_file(folder / "model.safetensors")
    for name in [name for name in stored if ".experts." in name and not name.endswith("bias")]:
        rows = stored.pop(name).float().numpy().swapaxes(1, 2)
        blocks = quantize(np.ascontiguousarray(rows), gguf.GGMLQuantizationType.MXFP4)
        blocks = blocks.reshape(*rows.shape[:2], -1, 17)
        # GGUF has value 16 + i beside value i, these have neighbours side by side.
        nibbles = np.concatenate([blocks[..., 1:] & 15, blocks[..., 1:] >> 4], axis=-1)
        stored[name + "_blocks"] = torch.from_numpy(nibbles[..., 0::2] | nibbles[..., 1::2] << 4)
        stored[name + "_scales"] = torch.from_numpy(blocks[..., 0].copy())
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def logits_of(model, ids):
    with torch.inference_mode():
        return model(torch.tensor([ids]), use_cache=False).logits[0].numpy()


def continued(model, ids, context):
    """Greedy tokens, and the smallest margin that one had over the second best, of the largest logit."""
    greedy, margin = [], math.inf
    while len(ids + greedy) < min(TOKENS + CONTINUATION, context):
        last = logits_of(model, ids + greedy)[-1]
        second, best = np.sort(last)[-2:]
        margin = min(margin, float(best - second) / float(np.abs(last).max()))
        greedy.append(int(last.argmax()))
    return greedy, margin


def write_model(architecture, folder):
    """Write one architecture's files; gives its entry of index.json."""
    ids = np.random.default_rng(sum(architecture.name.encode())).integers(0, VOCABULARY, TOKENS).tolist()
    # Many random models repeat one token: look for one whose text says more.
    for attempt in range(20):
        model = random_model(architecture, attempt)
        greedy, margin = continued(model, ids, architecture.context or math.inf)
        if not greedy or len(set(greedy)) >= 8 and margin > 2e-4:
            break
    write_file(folder / f"{architecture.name}.gguf", architecture, model)
    if architecture.folder:
        write_folder(model, folder / architecture.name)
    if architecture.expert_dtype:
        write_microscaled(folder / architecture.name)
    if architecture.seeing:
        write_seeing(architecture, model, folder / f"{architecture.name}-seeing")
    (folder / f"{architecture.name}.f32").write_bytes(logits_of(model, ids).astype("<f4").tobytes())
    print(f"{architecture.name}: smallest margin {margin:.1e}, {len(set(greedy))} tokens")
    return {"name": architecture.name, "architecture": architecture.arch or architecture.name,
            "class": type(model).__name__, "about": architecture.about, "context": architecture.context, "ids": ids, "greedy": greedy}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/tiny_architectures")
    parser.add_argument("--only", nargs="*", help="these alone; their entries of index.json are replaced")
    arguments = parser.parse_args()
    folder = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "index.json"
    entries = {entry["name"]: entry for entry in json.loads(index.read_text())} if arguments.only else {}
    for architecture in ARCHITECTURES:
        if not arguments.only or architecture.name in arguments.only:
            entries[architecture.name] = write_model(architecture, folder)
    lines = [json.dumps(entries[architecture.name]) for architecture in ARCHITECTURES if architecture.name in entries]
    index.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{folder}: {sum(path.stat().st_size for path in folder.rglob('*'))} bytes")


if __name__ == "__main__":
    main()
