#!/usr/bin/env python3
"""Write tests/golden/tiny/: tiny random llama models as GGUF, and the logits that transformers gives for them.

Each model is a transformers LlamaForCausalLM with random weights, rounded to what its file stores before the reference
is computed. The file is written with `gguf` as llama.cpp's converter writes it (names, metadata keys, permuted q and
k), and some are saved by transformers too, as folders. `index.json` lists the files with the token ids run; `NAME.f32` holds their logits, little-endian f32 `[tokens,
vocab]`.
"""

import argparse
import dataclasses
import json
import math
import pathlib

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from transformers import LlamaConfig, LlamaForCausalLM

from tiny_tokenizers import Gpt2Vocabulary, SpmVocabulary

TOKENS = 16
F32, F16 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16
LINEAR = {"rope_type": "linear", "factor": 4.0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
# HF name inside a layer -> GGUF name; q and k also need permuting.
LAYER = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


@dataclasses.dataclass
class Variant:
    """What one tiny model has; the defaults are two layers of grouped-query attention with tied embeddings in F16."""

    name: str
    about: str
    hidden: int = 32
    ffn: int = 64
    layers: int = 2
    heads: int = 2
    kv_heads: int = 1
    head_dim: int = 16
    tied: bool = True
    bias: bool = False
    rope: dict = dataclasses.field(default_factory=lambda: {"rope_type": "default"})
    theta: float = 10000.0
    vocabulary: type = Gpt2Vocabulary
    types: dict = dataclasses.field(default_factory=dict)
    default_type: gguf.GGMLQuantizationType = F16
    tensors_per_file: int = 0
    # How to save it as transformers does, into the folder NAME, beside the file.
    folder: dict | None = None


Q = gguf.GGMLQuantizationType
VARIANTS = [
    Variant("gqa", "four heads over two KV heads", hidden=64, ffn=96, heads=4, kv_heads=2),
    Variant("untied_f32", "F32 weights, an output matrix of its own, a KV head for every head", kv_heads=2, tied=False,
            default_type=F32),
    Variant("rope_linear", "positions divided by 4", rope=LINEAR, folder={}),
    Variant("rope_llama3", "Llama 3 frequencies in rope_freqs.weight", rope=LLAMA3, theta=500000.0,
            folder={}),
    Variant("head_dim", "heads of 24 in a hidden size of 32", head_dim=24),
    Variant("bias", "biases in attention and feed-forward", bias=True, folder={}),
    Variant("spm", "a SentencePiece vocabulary", vocabulary=SpmVocabulary),
    Variant("quantized", "a block format for every kind of matrix", hidden=64, ffn=96, heads=4, kv_heads=2,
            types={"token_embd": Q.Q8_0, "attn_q": Q.Q4_0, "attn_k": Q.Q4_1, "attn_v": Q.Q5_0, "attn_output": Q.Q5_1,
                   "ffn_gate": Q.BF16, "ffn_up": Q.Q8_0, "ffn_down": Q.Q4_0}),
    Variant("split", "the file split into three", tensors_per_file=8, folder={"max_shard_size": 30_000}),
]


def random_model(variant, vocabulary):
    """A model whose logits spread like a trained one's: unit-variance layers, norms around one."""
    config = LlamaConfig(
        vocab_size=len(vocabulary.tokens), hidden_size=variant.hidden, intermediate_size=variant.ffn,
        num_hidden_layers=variant.layers, num_attention_heads=variant.heads, num_key_value_heads=variant.kv_heads,
        head_dim=variant.head_dim, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=variant.tied,
        rope_parameters={**variant.rope, "rope_theta": variant.theta}, attention_bias=variant.bias,
        mlp_bias=variant.bias, bos_token_id=vocabulary.bos, eos_token_id=vocabulary.eos)
    model = LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(sum(variant.name.encode()))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(1 + 0.2 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise * (1.5 / math.sqrt(parameter.shape[1])))
    return model


def gguf_name(name):
    """`model.layers.1.self_attn.q_proj.weight` -> (`attn_q`, `blk.1.attn_q.weight`)."""
    stem, suffix = name.rsplit(".", 1)
    if stem in OUTER:
        return OUTER[stem], f"{OUTER[stem]}.{suffix}"
    _, _, layer, rest = stem.split(".", 3)
    return LAYER[rest], f"blk.{layer}.{LAYER[rest]}.{suffix}"


def permute(weights, heads):
    """Hugging Face rotates halves of a head, GGUF's llama rotates neighbours: reorder the rows of q and k."""
    return weights.reshape(heads, 2, len(weights) // heads // 2, -1).swapaxes(1, 2).reshape(weights.shape)


def store(variant, model):
    """Round the model to what the file holds; gives (GGUF name, bytes as stored, type) for each tensor."""
    stored = []
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            kind, tensor = gguf_name(name)
            dtype = variant.types.get(kind, variant.default_type) if parameter.dim() == 2 else F32
            values = parameter.numpy()
            parameter.copy_(torch.from_numpy(dequantize(quantize(values, dtype), dtype)))
            if kind in ("attn_q", "attn_k"):
                values = permute(values, variant.heads if kind == "attn_q" else variant.kv_heads)
            stored.append((tensor, quantize(values, dtype), dtype))
    return stored


def llama3_factors(variant):
    """What llama.cpp's converter puts into rope_freqs.weight: the divisor of each rotation frequency."""
    rope = variant.rope
    longest = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    shortest = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    factors = []
    for pair in range(0, variant.head_dim, 2):
        wavelength = 2 * math.pi * variant.theta ** (pair / variant.head_dim)
        if wavelength < shortest:
            factors.append(1.0)
        elif wavelength > longest:
            factors.append(rope["factor"])
        else:
            smooth = (rope["original_max_position_embeddings"] / wavelength - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"])
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def write_metadata(writer, variant, vocabulary):
    writer.add_type("model")
    writer.add_name(f"tiny {variant.name}")
    writer.add_vocab_size(len(vocabulary.tokens))
    writer.add_context_length(512)
    writer.add_embedding_length(variant.hidden)
    writer.add_block_count(variant.layers)
    writer.add_feed_forward_length(variant.ffn)
    writer.add_head_count(variant.heads)
    writer.add_head_count_kv(variant.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(variant.theta)
    writer.add_rope_dimension_count(variant.head_dim)
    if variant.head_dim * variant.heads != variant.hidden:
        writer.add_key_length(variant.head_dim)
        writer.add_value_length(variant.head_dim)
    if variant.rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(variant.rope["factor"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    vocabulary.write(writer)


def write_folder(model, folder, **options):
    """Save a model as transformers does, with the matrices that F16 holds exactly in F16."""
    exact = {name: tensor.dim() > 1 and torch.equal(tensor.half().float(), tensor)
             for name, tensor in model.state_dict().items()}
    state = {name: tensor.half() if exact[name] else tensor for name, tensor in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=state, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)


def write_model(variant, folder):
    """Write one variant's files; gives its entry of index.json."""
    vocabulary = variant.vocabulary()
    model = random_model(variant, vocabulary)
    tensors = store(variant, model)
    if variant.folder is not None:
        write_folder(model, folder / variant.name, **variant.folder)
        vocabulary.save(folder / variant.name)
    if variant.rope["rope_type"] == "llama3":
        tensors.insert(0, ("rope_freqs.weight", llama3_factors(variant), F32))

    writer = gguf.GGUFWriter(folder / f"{variant.name}.gguf", "llama", split_max_tensors=variant.tensors_per_file)
    write_metadata(writer, variant, vocabulary)
    for name, data, dtype in tensors:
        writer.add_tensor(name, data, raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    generator = np.random.default_rng(sum(variant.name.encode()))
    ids = [vocabulary.bos] + generator.integers(3, len(vocabulary.tokens), TOKENS - 1).tolist()
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].numpy()
    (folder / f"{variant.name}.f32").write_bytes(logits.astype("<f4").tobytes())
    files = sorted(path.name for path in folder.glob(f"{variant.name}*.gguf"))
    return {"name": variant.name, "about": variant.about, "file": files[0], "logits": f"{variant.name}.f32",
            "vocabulary": len(vocabulary.tokens), "ids": ids}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/tiny")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    entries = [json.dumps(write_model(variant, folder)) for variant in VARIANTS]
    (folder / "index.json").write_text("[\n" + ",\n".join(entries) + "\n]\n")
    print(f"{folder}: {sum(path.stat().st_size for path in folder.rglob('*'))} bytes")


if __name__ == "__main__":
    main()
