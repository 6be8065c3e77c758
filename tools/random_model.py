#!/usr/bin/env python3
"""Write a GGUF file with random weights in the shape of a real model: for speed, memory and load time, not for text.

    python3 tools/random_model.py --shape llama-3.2-1b --type Q4_K_M --out 1b-q4_k_m.gguf

Blocks hold random codes; their scales are such that weights have about the variance of a trained model's, so that
activations neither vanish nor overflow. The vocabulary is that of another GGUF file (the default model's, given by
--vocabulary or DINO_MODEL), filled up with unused tokens to the size of the shape. Llama 3's rotation without its scaling.
"""

import argparse
import os
from typing import NamedTuple

import gguf
import numpy as np

TYPE = gguf.GGMLQuantizationType


class Shape(NamedTuple):
    """Sizes of a decoder; `inner` is that of the feed-forward part, or of each of its experts."""
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    inner: int
    vocabulary: int
    tied: bool
    context: int
    arch: str = "llama"
    experts: int = 0
    used: int = 0


SHAPES = {
    "smollm2-135m": Shape(30, 576, 9, 3, 1536, 49152, True, 8192),
    "qwen2.5-0.5b": Shape(24, 896, 14, 2, 4864, 151936, True, 32768),
    "llama-3.2-1b": Shape(16, 2048, 32, 8, 8192, 128256, True, 131072),
    "llama-3.1-8b": Shape(32, 4096, 32, 8, 14336, 128256, False, 131072),
    "olmoe-1b-7b": Shape(16, 2048, 16, 16, 1024, 50304, False, 4096, "olmoe", 64, 8),
}

# Places of f16 scales and minimums in a block; what divides the weights' deviation to give the scale (the deviation of the
# codes, times that of the inner scales where there are some); and the minimum over the scale with which weights are 0 on average:
# otherwise all rows would point the same way, and all tokens go to the same experts.
BLOCKS = {
    TYPE.Q4_0: ([0], [], 4.6, 0),
    TYPE.Q4_1: ([0], [2], 4.6, -7.5),
    TYPE.Q5_0: ([0], [], 9.2, 0),
    TYPE.Q5_1: ([0], [2], 9.2, -15.5),
    TYPE.Q8_0: ([0], [], 74, 0),
    TYPE.Q2_K: ([80], [82], 14, 1.5),
    TYPE.Q3_K: ([108], [], 37, 0),
    TYPE.Q4_K: ([0], [2], 258, 7.5),
    TYPE.Q5_K: ([0], [2], 527, 15.5),
    TYPE.Q6_K: ([208], [], 1300, 0),
    TYPE.IQ4_NL: ([0], [], 70, 0),
    TYPE.IQ4_XS: ([0], [], 1100, 0),
}


def random_tensor(random, dtype, shape):
    """The bytes of a tensor `[rows, columns]`, as rows of blocks; of floats, their values."""
    deviation = 1 / np.sqrt(shape[-1])
    if dtype in (TYPE.F32, TYPE.F16, TYPE.BF16):
        values = random.standard_normal(shape, np.float32) * np.float32(deviation)
        return gguf.quants.quantize(values, dtype)
    length, size = gguf.GGML_QUANT_SIZES[dtype]
    scales, minimums, divisor, middle = BLOCKS[dtype]
    blocks = np.frombuffer(random.bytes(int(np.prod(shape)) // length * size), np.uint8).copy().reshape(-1, size)
    for places, factor in ((scales, 1), (minimums, middle)):
        for at in places:
            value = np.float16(deviation / divisor * factor)
            blocks[:, at:at + 2] = np.frombuffer(value.tobytes(), np.uint8)
    return blocks.reshape(*shape[:-1], shape[-1] // length * size)


def dtype_of(name, preset, layer, shape):
    """The type of a matrix: the preset itself, or for Q4_K_M about what llama.cpp's quantizer chooses."""
    layers = shape.layers
    if name == "ffn_gate_inp":
        return TYPE.F32
    if preset != "Q4_K_M":
        return TYPE[preset]
    more_bits = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
    head = "token_embd" if shape.tied else "output"
    if name == head or (name in ("attn_v", "ffn_down", "ffn_down_exps") and more_bits):
        return TYPE.Q6_K
    return TYPE.Q4_K


def copy_vocabulary(writer, path, size):
    """The keys of another file's tokenizer; tokens cut or filled up to `size`."""
    reader = gguf.GGUFReader(path)
    for field in reader.fields.values():
        key = field.name
        if not key.startswith("tokenizer.") or key == "tokenizer.ggml.scores":
            continue
        value = field.contents()
        if key == "tokenizer.ggml.tokens":
            value = (value + [f"[unused_{i}]" for i in range(len(value), size)])[:size]
        if key == "tokenizer.ggml.token_type":
            value = (value + [gguf.TokenType.UNUSED] * (size - len(value)))[:size]
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        else:
            writer.add_uint32(key, int(value))


def write_keys(writer, shape, name):
    writer.add_name(f"random {name}")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.hidden // shape.heads)
    writer.add_rope_freq_base(500000.0)
    writer.add_vocab_size(shape.vocabulary)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.used)


def tensors(shape, preset):
    """Name, type and shape of each tensor, in the file's order."""
    def matrix(name, *sizes, layer=-1):
        prefix = "" if layer < 0 else f"blk.{layer}."
        dtype = dtype_of(name, preset, layer, shape)
        return f"{prefix}{name}.weight", dtype, sizes

    def norm(name, size=shape.hidden):
        return f"{name}.weight", TYPE.F32, (size,)

    hidden, inner, keys = shape.hidden, shape.inner, shape.kv_heads * shape.hidden // shape.heads
    yield matrix("token_embd", shape.vocabulary, hidden)
    for layer in range(shape.layers):
        yield norm(f"blk.{layer}.attn_norm")
        yield matrix("attn_q", hidden, hidden, layer=layer)
        yield matrix("attn_k", keys, hidden, layer=layer)
        yield matrix("attn_v", keys, hidden, layer=layer)
        yield matrix("attn_output", hidden, hidden, layer=layer)
        if shape.arch == "olmoe":
            yield norm(f"blk.{layer}.attn_q_norm")
            yield norm(f"blk.{layer}.attn_k_norm", keys)
        yield norm(f"blk.{layer}.ffn_norm")
        experts, suffix = ((shape.experts,), "_exps") if shape.experts else ((), "")
        if shape.experts:
            yield matrix("ffn_gate_inp", shape.experts, hidden, layer=layer)
        yield matrix(f"ffn_gate{suffix}", *experts, inner, hidden, layer=layer)
        yield matrix(f"ffn_up{suffix}", *experts, inner, hidden, layer=layer)
        yield matrix(f"ffn_down{suffix}", *experts, hidden, inner, layer=layer)
    yield norm("output_norm")
    if not shape.tied:
        yield matrix("output", shape.vocabulary, hidden)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--type", required=True, help="Q4_0, Q8_0, F16, …, or Q4_K_M")
    parser.add_argument("--vocabulary", default=os.environ.get("DINO_MODEL"), help="a GGUF file with a tokenizer")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    shape = SHAPES[arguments.shape]
    random = np.random.default_rng(1)

    writer = gguf.GGUFWriter(arguments.out, shape.arch)
    write_keys(writer, shape, arguments.shape)
    copy_vocabulary(writer, arguments.vocabulary, shape.vocabulary)
    # Sizes first, then one tensor at a time: a model larger than the memory can be written.
    for name, dtype, sizes in tensors(shape, arguments.type):
        length, size = gguf.GGML_QUANT_SIZES[dtype]
        columns = sizes[-1] // length * size
        # As bytes the writer takes a tensor of blocks, as values one of floats.
        stored = sizes if dtype == TYPE.F32 else (*sizes[:-1], columns)
        kind = np.dtype(np.float32 if dtype == TYPE.F32 else np.uint8)
        nbytes = int(np.prod(sizes[:-1])) * columns
        writer.add_tensor_info(name, stored, kind, nbytes, raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, dtype, sizes in tensors(shape, arguments.type):
        is_norm = len(sizes) == 1
        writer.write_tensor_data(np.ones(sizes, np.float32) if is_norm else random_tensor(random, dtype, sizes))
    writer.close()


if __name__ == "__main__":
    main()
