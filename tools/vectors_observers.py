#!/usr/bin/env python3
"""Write dino-quant/tests/vectors/observers.json: what static int8 ranges lose of some values, by NumPy.

The values are repeatable (a generator that the test repeats): near normal, with outliers, one-sided. For each, and for 128
magnitudes at which they may be cut off, the file holds the squared error of rounding to 255 codes, and the divergence of the
distribution of magnitudes from what 127 levels keep of it (Migacz, 2017), from a histogram of 2048 equal bins of the values
themselves; and two percentiles. Needs: numpy.
"""

import argparse
import json
import pathlib

import numpy as np

CODES = 255
BINS = 2048


def values(count, outliers, factor, one_sided):
    state, mask = 1, (1 << 64) - 1
    result = np.zeros(count, np.float32)
    for i in range(count):
        total = np.float32(0)
        for _ in range(12):
            state = (state * 6364136223846793005 + 1442695040888963407) & mask
            total = np.float32(total + np.float32(state >> 40) / np.float32(1 << 24))
        result[i] = total - np.float32(6)
    result[:outliers] *= np.float32(factor)
    return np.abs(result) if one_sided else result


def squared_error(x, cut):
    low, high = max(-cut, min(x.min(), 0)), min(cut, max(x.max(), 0))
    step = (high - low) / (CODES - 1)
    kept = np.clip(np.round(x / step) * step, low, high)
    return float(((x - kept) ** 2).sum())


def divergence(bins, kept):
    levels = (CODES - 1) // 2
    p = bins[:kept].copy()
    p[-1] += bins[kept:].sum()
    p /= p.sum()
    q = np.zeros(kept)
    for level in range(levels):
        part = slice(level * kept // levels, (level + 1) * kept // levels)
        filled = bins[part] > 0
        if filled.any():
            q[part][filled] = bins[part].sum() / filled.sum()
    q /= q.sum()
    q[(q == 0) & (p > 0)] = 1e-9
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="dino-quant/tests/vectors/observers.json")
    cases = []
    for count, outliers, factor, one_sided in [(20000, 0, 1, False), (20000, 5, 30, False), (20000, 300, 10, True)]:
        x = values(count, outliers, factor, one_sided)
        magnitudes = np.abs(x)
        greatest = float(magnitudes.max())
        bins = np.histogram(magnitudes, BINS, (0, greatest))[0].astype(float)
        kept = [BINS * (n + 1) // 128 for n in range(128)]
        usable = [k for k in kept if k >= (CODES - 1) // 2]
        cases.append({
            "count": count, "outliers": outliers, "factor": factor, "one_sided": one_sided, "greatest": greatest,
            "percentile_99": float(np.sort(magnitudes)[int(np.ceil(0.99 * count)) - 1]),
            "cuts": [greatest * k / BINS for k in usable],
            "squared_errors": [float(f"{squared_error(x.astype(float), greatest * k / BINS):.5g}") for k in usable],
            "divergences": [float(f"{divergence(bins, k):.5g}") for k in usable],
        })
    out = parser.parse_args().out
    out.write_text(json.dumps({"codes": CODES, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
