#!/usr/bin/env python3
"""Write a GGUF file with random weights in the shape of a real model: for speed, memory and load time, not for text.

    python3 tools/random_model.py --shape llama-3.2-1b --type Q4_K_M --out 1b-q4_k_m.gguf

Blocks hold random codes; their scales are such that weights have about the variance of a trained model's, so that
activations neither vanish nor overflow. The vocabulary is that of another GGUF file (the default model's, given by
--vocabulary or DINO_MODEL), filled up with unused tokens to the size of the shape. Llama 3's rotation without its scaling.
"""

import argparse
import os

import gguf
import numpy as np

TYPE = gguf.GGMLQuantizationType

# name: (layers, hidden, heads, key/value heads, feed-forward, vocabulary, tied head, context)
SHAPES = {
    "smollm2-135m": (30, 576, 9, 3, 1536, 49152, True, 8192),
    "qwen2.5-0.5b": (24, 896, 14, 2, 4864, 151936, True, 32768),
    "llama-3.2-1b": (16, 2048, 32, 8, 8192, 128256, True, 131072),
    "llama-3.1-8b": (32, 4096, 32, 8, 14336, 128256, False, 131072),
}

# Places of f16 scales and minimums in a block, and what divides the weights' deviation to give the scale: about the
# deviation of the codes, times that of the inner scales where there are some.
BLOCKS = {
    TYPE.Q4_0: ([0], [], 4.6),
    TYPE.Q4_1: ([0], [2], 4.6),
    TYPE.Q5_0: ([0], [], 9.2),
    TYPE.Q5_1: ([0], [2], 9.2),
    TYPE.Q8_0: ([0], [], 74),
    TYPE.Q2_K: ([80], [82], 8),
    TYPE.Q3_K: ([108], [], 37),
    TYPE.Q4_K: ([0], [2], 160),
    TYPE.Q5_K: ([0], [2], 320),
    TYPE.Q6_K: ([208], [], 1300),
    TYPE.IQ4_NL: ([0], [], 70),
    TYPE.IQ4_XS: ([0], [], 1100),
}


def random_tensor(random, dtype, shape):
    """The bytes of a tensor `[rows, columns]`, as rows of blocks; of floats, their values."""
    deviation = 1 / np.sqrt(shape[-1])
    if dtype in (TYPE.F32, TYPE.F16, TYPE.BF16):
        values = random.standard_normal(shape, np.float32) * np.float32(deviation)
        return gguf.quants.quantize(values, dtype)
    length, size = gguf.GGML_QUANT_SIZES[dtype]
    scales, minimums, divisor = BLOCKS[dtype]
    blocks = np.frombuffer(random.bytes(int(np.prod(shape)) // length * size), np.uint8).copy().reshape(-1, size)
    for places, factor in ((scales, 1), (minimums, -0.1)):
        for at in places:
            value = np.float16(deviation / divisor * factor)
            blocks[:, at:at + 2] = np.frombuffer(value.tobytes(), np.uint8)
    return blocks.reshape(*shape[:-1], shape[-1] // length * size)


def dtype_of(name, preset, layer, layers):
    """The type of a matrix: the preset itself, or for Q4_K_M about what llama.cpp's quantizer chooses."""
    if preset != "Q4_K_M":
        return TYPE[preset]
    more_bits = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
    if name in ("token_embd", "output") or (name in ("attn_v", "ffn_down") and more_bits):
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--type", required=True, help="Q4_0, Q8_0, F16, …, or Q4_K_M")
    parser.add_argument("--vocabulary", default=os.environ.get("DINO_MODEL"), help="a GGUF file with a tokenizer")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    layers, hidden, heads, kv_heads, inner, vocabulary, tied, context = SHAPES[arguments.shape]
    head_dim = hidden // heads
    random = np.random.default_rng(1)

    writer = gguf.GGUFWriter(arguments.out, "llama", use_temp_file=True)
    writer.add_name(f"random {arguments.shape}")
    writer.add_context_length(context)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(500000.0)
    writer.add_vocab_size(vocabulary)
    copy_vocabulary(writer, arguments.vocabulary, vocabulary)

    def matrix(name, rows, columns, layer=-1):
        dtype = dtype_of(name, arguments.type, layer, layers)
        prefix = "" if layer < 0 else f"blk.{layer}."
        writer.add_tensor(f"{prefix}{name}.weight", random_tensor(random, dtype, (rows, columns)), raw_dtype=dtype)

    def norm(name):
        writer.add_tensor(f"{name}.weight", np.ones(hidden, np.float32))

    matrix("token_embd", vocabulary, hidden)
    for layer in range(layers):
        norm(f"blk.{layer}.attn_norm")
        matrix("attn_q", hidden, hidden, layer)
        matrix("attn_k", kv_heads * head_dim, hidden, layer)
        matrix("attn_v", kv_heads * head_dim, hidden, layer)
        matrix("attn_output", hidden, hidden, layer)
        norm(f"blk.{layer}.ffn_norm")
        matrix("ffn_gate", inner, hidden, layer)
        matrix("ffn_up", inner, hidden, layer)
        matrix("ffn_down", hidden, inner, layer)
    norm("output_norm")
    if not tied:
        matrix("output", vocabulary, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
