#!/usr/bin/env python3
"""Make a full-precision stand-in of a model that is only to be had quantized.

Weights that were read from Q4_1 lie on the grid of their blocks, where some formats find them again without loss, which no
real full-precision model allows. Each weight is moved by a random part of half a step of its block: what is left is as
good a model as another quantization would be, with weights like any others. Needs: numpy, gguf.

    quantize --type F16 --pure -o base-f16.gguf                       # from the Q4_1 file
    dither_base.py model.Q4_1.gguf base-f16.gguf base-dithered.gguf
"""

import argparse
import shutil

import gguf
import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["quantized", "base", "out"]:
        parser.add_argument(name)
    arguments = parser.parse_args()
    shutil.copyfile(arguments.base, arguments.out)
    steps = {}
    for tensor in gguf.GGUFReader(arguments.quantized).tensors:
        if tensor.tensor_type.name == "Q4_1":
            blocks = tensor.data.reshape(-1, 20)
            steps[tensor.name] = blocks[:, :2].copy().view(np.float16).astype(np.float32).reshape(-1, 1)
    rng = np.random.default_rng(20260103)
    for tensor in gguf.GGUFReader(arguments.out, "r+").tensors:
        if tensor.name in steps:
            values = tensor.data.astype(np.float32).reshape(-1, 32)
            noise = rng.uniform(-0.5, 0.5, values.shape).astype(np.float32) * np.abs(steps[tensor.name])
            tensor.data[...] = (values + noise).astype(np.float16).reshape(tensor.data.shape)
    print(f"{arguments.out}: {len(steps)} tensors")


if __name__ == "__main__":
    main()
