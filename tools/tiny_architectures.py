#!/usr/bin/env python3
"""Write tests/golden/tiny_architectures/: a tiny random model of each architecture as GGUF, and transformers' logits.

Each is built by transformers from a small configuration, with weights rounded to the F16 that its file stores before
the reference is computed. The file has the names that `gguf` maps transformers' names to and the metadata keys that
llama.cpp's converter writes; no tokenizer. `index.json` lists the files with the token ids run; `NAME.f32` holds their
logits, little-endian f32 `[tokens, vocabulary]`.
"""

import argparse
import dataclasses
import json
import math
import pathlib

import gguf
import numpy as np
import torch
from gguf.quants import quantize
from transformers import AutoConfig, AutoModelForCausalLM

TOKENS, VOCABULARY = 24, 64
F32, F16 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "pad_token_id": 0,
         "bos_token_id": 1, "eos_token_id": 2, "attn_implementation": "eager"}


@dataclasses.dataclass
class Architecture:
    """What transformers' configuration of one architecture has beside SIZES, and how its file differs from others'."""

    name: str
    about: str
    config: dict
    # Called with (writer, config): keys of this architecture alone.
    keys: callable = lambda writer, config: None


def head_dim_keys(writer, config):
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


ARCHITECTURES = [
    Architecture("qwen2", "biases of queries, keys and values", {"tie_word_embeddings": True}),
    Architecture("qwen3", "normalised heads, wider than the hidden size holds",
                 {"tie_word_embeddings": True, "head_dim": 12}, head_dim_keys),
]


def random_model(architecture):
    """A model whose logits spread like a trained one's: unit-variance layers, norms around one; rounded to F16."""
    config = AutoConfig.for_model(architecture.name, **(SIZES | architecture.config))
    model = AutoModelForCausalLM.from_config(config).float().eval()
    generator = torch.Generator().manual_seed(sum(architecture.name.encode()))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_((noise * (1.5 / math.sqrt(parameter.shape[1]))).half())
    return model


def write_metadata(writer, architecture, config):
    """The keys that all decoders have, then the architecture's own."""
    writer.add_type("model")
    writer.add_name(f"tiny {architecture.name}")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    architecture.keys(writer, config)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def write_model(architecture, folder):
    """Write one architecture's files; gives its entry of index.json."""
    model = random_model(architecture)
    kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture.name)
    names = gguf.get_tensor_name_map(kind, model.config.num_hidden_layers)
    writer = gguf.GGUFWriter(folder / f"{architecture.name}.gguf", architecture.name)
    write_metadata(writer, architecture, model.config)
    for name, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        dtype = F16 if parameter.dim() == 2 else F32
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), quantize(values, dtype), raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    ids = np.random.default_rng(sum(architecture.name.encode())).integers(0, VOCABULARY, TOKENS).tolist()
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].numpy()
    (folder / f"{architecture.name}.f32").write_bytes(logits.astype("<f4").tobytes())
    return {"name": architecture.name, "about": architecture.about, "ids": ids}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/tiny_architectures")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    entries = [json.dumps(write_model(architecture, folder)) for architecture in ARCHITECTURES]
    (folder / "index.json").write_text("[\n" + ",\n".join(entries) + "\n]\n")
    print(f"{folder}: {sum(path.stat().st_size for path in folder.iterdir())} bytes")


if __name__ == "__main__":
    main()
