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
    # transformers' name for it, where it differs.
    model_type: str = ""
    # Whether the file holds norm weights plus one, and permuted rows of q and k.
    one_added_to_norms: bool = False
    permuted: bool = False


def permute(weights, heads):
    """transformers rotates halves of a head, files of llama's kin neighbours: reorder the rows of q and k."""
    return weights.reshape(heads, 2, len(weights) // heads // 2, -1).swapaxes(1, 2).reshape(weights.shape)


def gemma_keys(writer, config):
    head_dim_keys(writer, config)
    writer.add_sliding_window(config.sliding_window)
    if config.attn_logit_softcapping:
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    if config.final_logit_softcapping:
        writer.add_final_logit_softcapping(config.final_logit_softcapping)


def granite_keys(writer, config):
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_attention_scale(config.attention_multiplier)
    writer.add_embedding_scale(config.embedding_multiplier)
    writer.add_residual_scale(config.residual_multiplier)
    writer.add_logit_scale(config.logits_scaling)


def phi3_keys(writer, config):
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_sliding_window(config.sliding_window or 0)


def head_dim_keys(writer, config):
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


ARCHITECTURES = [
    Architecture("qwen2", "biases of queries, keys and values", {"tie_word_embeddings": True}),
    Architecture("qwen3", "normalised heads, wider than the hidden size holds",
                 {"tie_word_embeddings": True, "head_dim": 12}, head_dim_keys),
    Architecture("gemma2", "sandwich norms, soft caps, a window of 8 in every other layer",
                 {"num_hidden_layers": 3, "head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 8,
                  "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}, gemma_keys, one_added_to_norms=True),
    Architecture("gemma3", "a window of 8 and another rotation in five of six layers",
                 {"num_hidden_layers": 7, "hidden_size": 16, "intermediate_size": 32, "head_dim": 8,
                  "query_pre_attn_scalar": 8, "sliding_window": 8}, gemma_keys, model_type="gemma3_text",
                 one_added_to_norms=True),
    Architecture("olmo2", "norms behind the parts, queries and keys normalised as rows", {}),
    Architecture("granite", "multipliers of embeddings, scores, residuals and logits",
                 {"attention_multiplier": 0.2, "embedding_multiplier": 3.0, "residual_multiplier": 0.4,
                  "logits_scaling": 2.5}, granite_keys, permuted=True),
    Architecture("phi3", "fused matrices, a window of 8", {"sliding_window": 8}, phi3_keys),
]


def random_model(architecture):
    """A model whose logits spread like a trained one's: unit-variance layers, norms around one; rounded to F16."""
    config = AutoConfig.for_model(architecture.model_type or architecture.name, **(SIZES | architecture.config))
    model = AutoModelForCausalLM.from_config(config).float().eval()
    generator = torch.Generator().manual_seed(sum(architecture.name.encode()))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise + (not architecture.one_added_to_norms))
            else:
                parameter.copy_((noise * (1.5 / math.sqrt(parameter.shape[1]))).half())
    return model


def stored(architecture, config, name, values):
    """The values of a parameter as the file holds them."""
    if architecture.one_added_to_norms and name.endswith("norm.weight"):
        return values + 1
    if architecture.permuted and "q_proj" in name:
        return permute(values, config.num_attention_heads)
    if architecture.permuted and "k_proj" in name:
        return permute(values, config.num_key_value_heads)
    return values


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
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
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
        values = stored(architecture, model.config, name, parameter.detach().numpy())
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
