#!/usr/bin/env python3
"""Write dino-core/tests/vectors/blocks.json: block formats as PyPI's `gguf` package reads and writes them.

"dequantize": for every format, blocks of random bytes (scales finite and of ordinary size) with the f32 values
they stand for. "quantize": rows of f32 with the exact bytes `gguf` encodes them to. Bytes are hex; f32 values are
hex of their little-endian bits, so a reader needs no float parser. Needs: numpy, gguf.
"""

import argparse
import json
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

# The byte offsets of the f16 scales inside one block; every other byte is free to be random.
F16_SCALES = {
    "F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}
ENCODED = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"]
# Shared exponents that reach the subnormal cases of E8M0 (0 and 1) and ordinary ones.
MXFP4_EXPONENTS = [0, 1, 120, 127, 131]


def random_blocks(name, rng):
    block_size, type_size = GGML_QUANT_SIZES[T[name]]
    count = {1: 40, 32: 5}.get(block_size, 2)
    blocks = rng.integers(0, 256, (count, type_size), dtype=np.uint8)
    for offset in F16_SCALES[name]:
        scales = rng.uniform(-1.0, 1.0, count).astype(np.float16)
        blocks[:, offset:offset + 2] = scales.view(np.uint8).reshape(count, 2)
    if name == "BF16":
        blocks = (rng.normal(size=count).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        blocks = blocks.view(np.uint8).reshape(count, 2)
    if name == "MXFP4":
        blocks[:, 0] = MXFP4_EXPONENTS
    return blocks


def rows_to_encode(rng):
    """Five rows of 64: normal, small, with outliers, constant, and zero followed by a ramp."""
    rows = rng.normal(size=(5, 64)).astype(np.float32)
    rows[1] *= np.float32(1e-3)
    rows[2, ::17] *= np.float32(20)
    rows[3] = np.float32(0.37)
    rows[4, :32] = 0
    rows[4, 32:] = np.linspace(-1, 1, 32, dtype=np.float32)
    return rows


def hex_of(array, dtype):
    return np.ascontiguousarray(array, dtype=dtype).tobytes().hex()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="dino-core/tests/vectors/blocks.json")
    out = parser.parse_args().out
    rng = np.random.default_rng(20260101)

    decoded = []
    for name in F16_SCALES:
        blocks = random_blocks(name, rng)
        values = dequantize(blocks, T[name]).astype(np.float32)
        assert np.isfinite(values).all(), name
        decoded.append({"dtype": name, "blocks": len(blocks), "bytes": blocks.tobytes().hex(), "values": hex_of(values, "<f4")})

    rows = rows_to_encode(rng)
    encoded = [{"dtype": name, "bytes": quantize(rows, T[name]).tobytes().hex()} for name in ENCODED]

    # One line an entry keeps diffs readable.
    lines = ",\n".join(json.dumps(entry) for entry in decoded)
    encoded_lines = ",\n".join(json.dumps(entry) for entry in encoded)
    text = (f'{{"dequantize": [\n{lines}\n],\n"quantize": {{"columns": {rows.shape[1]}, '
            f'"values": "{hex_of(rows, "<f4")}", "formats": [\n{encoded_lines}\n]}}}}\n')
    json.loads(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    print(f"{out}: {len(text)} bytes")


if __name__ == "__main__":
    main()
