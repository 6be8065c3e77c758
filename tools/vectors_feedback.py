#!/usr/bin/env python3
"""Write dino-quant/tests/vectors/feedback.json: error feedback (GPTQ, arXiv:2210.17323) as NumPy does it, in f64.

A few rows of weights and inputs whose channels go together; for the columns in their order and by the size of
the Hessian's diagonal ("act-order") the codes that the algorithm gives, as -8 to 7. Scales are no part of it: in each
group of 32 two columns hold exactly the lowest and the highest code, have nothing to do with the others and alone have
importance, so that any search of scales ends where the script begins. Rows are hex of f32, the rest of i8.
Needs: numpy.
"""

import argparse
import json
import pathlib

import numpy as np

ROWS, COLUMNS, GROUP = 6, 64, 32
ANCHORS = [5, 20, 33, 60]


def weights(rng):
    scales = 2.0 ** rng.integers(-6, -2, size=(ROWS, COLUMNS // GROUP))
    rows = rng.uniform(-7.0, 6.5, size=(ROWS, COLUMNS)) * np.repeat(scales, GROUP, axis=1)
    for group in range(COLUMNS // GROUP):
        low, high = ANCHORS[2 * group:2 * group + 2]
        rows[:, low], rows[:, high] = -8 * scales[:, group], 7 * scales[:, group]
    return rows.astype(np.float32), scales


def some_inputs(rng):
    """Whole numbers, so that their products are summed exactly. What holds the ends of a group is alone in its rows."""
    inputs = rng.normal(size=(40, 12)) @ rng.normal(size=(12, COLUMNS)) * 3 + rng.normal(size=(40, COLUMNS)) * 3
    inputs[:, 7] *= 5
    inputs[:, ANCHORS] = 0
    alone = np.zeros((len(ANCHORS), COLUMNS))
    alone[range(len(ANCHORS)), ANCHORS] = 60
    return np.clip(np.rint(np.vstack([inputs, alone])), -127, 127).astype(np.int8)


def feedback(rows, scales, matrix, order):
    """The codes, and how near the nearest rounding was to going the other way."""
    matrix = matrix.astype(np.float64)[np.ix_(order, order)]
    matrix += 0.01 * np.mean(np.diag(matrix)) * np.eye(COLUMNS)
    upper = np.linalg.cholesky(np.linalg.inv(matrix)).T
    rest = rows.astype(np.float64)[:, order]
    codes, margin = np.zeros(rows.shape, dtype=int), 1.0
    for place, column in enumerate(order):
        scale = scales[:, column // GROUP]
        exact = rest[:, place] / scale
        code = np.clip(np.rint(exact), -8, 7)
        inside = (exact > -8.5) & (exact < 7.5)
        margin = min(margin, np.min(np.abs(np.abs(exact - np.floor(exact)) - 0.5)[inside]))
        codes[:, column] = code
        error = (rest[:, place] - code * scale) / upper[place, place]
        rest[:, place:] -= np.outer(error, upper[place, place:])
    return codes, margin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="dino-quant/tests/vectors/feedback.json")
    out = parser.parse_args().out
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        rows, scales = weights(rng)
        inputs = some_inputs(rng)
        matrix = inputs.astype(np.float64).T @ inputs
        by_size = np.argsort(-np.diag(matrix), kind="stable")
        found = {name: feedback(rows, scales, matrix, order)
                 for name, order in [("natural", np.arange(COLUMNS)), ("act_order", by_size)]}
        # No code depends on how sums are rounded.
        if min(margin for _, margin in found.values()) > 1e-3:
            break
    plain = np.clip(np.rint(rows / np.repeat(scales, GROUP, axis=1)), -8, 7)
    for name, (codes, _) in found.items():
        changed = np.count_nonzero(codes != plain)
        assert changed > ROWS * COLUMNS // 10, (name, changed)
        errors = rows - codes * np.repeat(scales, GROUP, axis=1)
        print(f"{name}: {changed} of {codes.size} codes are not the nearest, error {np.sum(errors @ matrix * errors):.4f}")
    text = json.dumps({
        "columns": COLUMNS,
        "anchors": ANCHORS,
        "rows": rows.astype("<f4").tobytes().hex(),
        "inputs": inputs.tobytes().hex(),
        **{name: codes.astype(np.int8).tobytes().hex() for name, (codes, _) in found.items()},
    }).replace(', "', ',\n"') + "\n"
    json.loads(text)
    out.write_text(text)
    print(f"{out}: {len(text)} bytes")


if __name__ == "__main__":
    main()
