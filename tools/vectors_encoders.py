#!/usr/bin/env python3
"""Write dino-quant/tests/vectors/errors.json: how much ggml's quantizer loses on some rows, for every block format.

The rows are normal, heavy-tailed, one-sided, with an outlier, and smooth, 256 values each, stored as hex of f16. For each
format the weighted squared errors of each row are given twice: without importance, and with it (`ggml_quantize_chunk` of
the library that llama-cpp-python brings, decoded by the PyPI package `gguf`). Needs: numpy, gguf, llama-cpp-python.
"""

import argparse
import ctypes
import json
import pathlib

import gguf
import numpy as np

FORMATS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"]
COLUMNS = 256


def ggml():
    import llama_cpp
    folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
    for name in ["libggml-base.so", "libggml.so"]:
        library = ctypes.CDLL(str(folder / name))
        if hasattr(library, "ggml_quantize_chunk"):
            function = library.ggml_quantize_chunk
            floats = ctypes.POINTER(ctypes.c_float)
            function.restype = ctypes.c_size_t
            function.argtypes = [ctypes.c_int, floats, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [floats]
            return function
    raise SystemExit(f"no ggml_quantize_chunk in {folder}")


def quantize(function, name, rows, importance):
    dtype = gguf.GGMLQuantizationType[name]
    block, size = gguf.GGML_QUANT_SIZES[dtype]
    out = np.zeros(rows.size // block * size, dtype=np.uint8)
    floats = ctypes.POINTER(ctypes.c_float)
    weights = importance.ctypes.data_as(floats) if importance is not None else None
    written = function(int(dtype), rows.ctypes.data_as(floats), out.ctypes.data, 0, rows.shape[0], rows.shape[1], weights)
    assert written == out.size, (name, written, out.size)
    return gguf.dequantize(out.reshape(rows.shape[0], -1), dtype).astype(np.float32)


def some_rows(rng):
    rows = rng.normal(size=(5, COLUMNS))
    rows[1] = rng.standard_t(3, size=COLUMNS) * 0.02
    rows[2] = np.abs(rows[2]) * 0.3
    rows[3, 77] = 30
    rows[4] = np.sin(np.arange(COLUMNS) / 9) * 0.05
    return rows.astype(np.float16)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="dino-quant/tests/vectors/errors.json")
    out = parser.parse_args().out
    rng = np.random.default_rng(20260102)
    halves = some_rows(rng)
    importance = np.exp(rng.normal(size=COLUMNS)).astype(np.float16)
    rows = np.ascontiguousarray(halves, dtype=np.float32)
    weights = np.ascontiguousarray(importance, dtype=np.float32)
    function = ggml()
    lines = []
    for name in FORMATS:
        def errors(given, counted):
            lost = (quantize(function, name, rows, given).astype(np.float64) - rows) ** 2
            return [float(f"{x:.7e}") for x in (lost * counted).sum(axis=1)]
        lines.append(json.dumps({"dtype": name, "plain": errors(None, 1.0), "weighted": errors(weights, weights)}))
    text = (f'{{"columns": {COLUMNS},\n"rows": "{halves.tobytes().hex()}",\n'
            f'"importance": "{importance.tobytes().hex()}",\n"formats": [\n' + ",\n".join(lines) + "\n]}\n")
    json.loads(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    print(f"{out}: {len(text)} bytes")


if __name__ == "__main__":
    main()
