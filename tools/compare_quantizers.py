#!/usr/bin/env python3
"""Report what a file that we quantized loses, tensor by tensor, against ggml's quantizer at the same types.

Every tensor of the quantized file that differs in type from the base is quantized again from the base by ggml
(`ggml_quantize_chunk` of llama-cpp-python); both are decoded by the PyPI package `gguf`. With --imatrix, ggml is given
the importance, and errors are weighted by it. Needs: numpy, gguf, llama-cpp-python.
"""

import argparse
import collections

import gguf
import numpy as np

from vectors_encoders import ggml, quantize


def importance_of(path):
    if path is None:
        return {}
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(".in_sum2"):
            weight = name.removesuffix(".in_sum2")
            count = float(tensors[f"{weight}.counts"].data.reshape(-1)[0])
            found[weight] = np.ascontiguousarray(tensor.data.reshape(-1) / count, dtype=np.float32)
    return found


def values(tensor):
    return gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(-1, int(tensor.shape[0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("quantized")
    parser.add_argument("--imatrix")
    parser.add_argument("--rows", type=int, default=256, help="rows of each tensor that are looked at")
    arguments = parser.parse_args()
    function, importance = ggml(), importance_of(arguments.imatrix)
    base = {tensor.name: tensor for tensor in gguf.GGUFReader(arguments.base).tensors}
    sums, worse = collections.defaultdict(lambda: np.zeros(2)), []
    for tensor in gguf.GGUFReader(arguments.quantized).tensors:
        source = base[tensor.name]
        if tensor.tensor_type == source.tensor_type or tensor.tensor_type.name in ("F32", "F16", "BF16"):
            continue
        rows = np.ascontiguousarray(values(source)[:arguments.rows])
        weights = importance.get(tensor.name)
        counted = 1.0 if weights is None else weights.astype(np.float64)

        def error(decoded):
            return float((((decoded.astype(np.float64) - rows) ** 2) * counted).sum())

        ours = error(values(tensor)[:arguments.rows])
        theirs = error(quantize(function, tensor.tensor_type.name, rows, weights))
        sums[tensor.tensor_type.name] += (ours, theirs)
        if ours > theirs * (1 + 1e-6):
            worse.append(f"{tensor.name} {tensor.tensor_type.name}: {ours / theirs:.4f}")
    for name, (ours, theirs) in sorted(sums.items()):
        print(f"{name:8} our error is {ours / theirs:.4f} of ggml's")
    print(f"{len(worse)} tensors lose more: {worse[:5]}")


if __name__ == "__main__":
    main()
