#!/usr/bin/env python3
"""Make a full-precision stand-in of a model that is only to be had quantized.

Weights that were read from blocks of few bits lie on the grids of these blocks, where some formats find them again without
loss, which no real full-precision model allows. Each weight is moved by a random part of half a step of its grid: what is
left is as good a model as another quantization would be, with weights like any others. The step is the least distance of
two different values that share a scale. Needs: numpy, gguf.

    quantize --model model.Q4_1.gguf --type F16 --pure --out base-f16.gguf
    dither_base.py model.Q4_1.gguf base-f16.gguf base.gguf
"""

import argparse
import shutil

import gguf
import numpy as np

RUN = {"Q2_K": 16, "Q3_K": 16, "Q6_K": 16}  # neighbours that share a scale; 32 in all other formats


def steps(values):
    """The distance of neighbours on the grid of each run, `[runs, 1]`; 0 where all values are the same."""
    gaps = np.diff(np.sort(values, axis=1), axis=1)
    # What f32 rounds apart is one value.
    gaps[gaps <= 1e-5 * np.abs(values).max(axis=1, keepdims=True)] = np.inf
    least = gaps.min(axis=1, keepdims=True)
    return np.where(np.isfinite(least), least, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["quantized", "base", "out"]:
        parser.add_argument(name)
    arguments = parser.parse_args()
    shutil.copyfile(arguments.base, arguments.out)
    quantized = {tensor.name: tensor for tensor in gguf.GGUFReader(arguments.quantized).tensors
                 if tensor.tensor_type.name not in ("F32", "F16", "BF16")}
    rng = np.random.default_rng(20260103)
    for tensor in gguf.GGUFReader(arguments.out, "r+").tensors:
        source = quantized.get(tensor.name)
        if source is None:
            continue
        data = tensor.data.reshape(-1, tensor.data.shape[-1])
        rows = source.data.reshape(len(data), -1)
        for start in range(0, len(data), 4096):  # so that a large vocabulary needs no gigabytes
            part = slice(start, start + 4096)
            values = gguf.dequantize(rows[part], source.tensor_type).astype(np.float32)
            values = values.reshape(-1, RUN.get(source.tensor_type.name, 32))
            noise = rng.uniform(-0.5, 0.5, values.shape).astype(np.float32) * steps(values)
            data[part] = (values + noise).astype(np.float16).reshape(-1, data.shape[1])
    print(f"{arguments.out}: {len(quantized)} tensors")


if __name__ == "__main__":
    main()
