#!/usr/bin/env python3
"""Compare logits of ours (.npy, f32 `[tokens, vocab]`, as `cargo run --example logits` writes them) with transformers.

Prints the largest absolute error, the normalized mean squared error, top-1 agreement (and the largest reference margin
among the disagreements) and the mean KL divergence of next-token distributions over all positions. The reference is
computed with f32 weights, or read with --reference; --save-reference keeps it for later runs.
"""

import argparse
import pathlib

import numpy as np


def read_ids(argument):
    """Ids from `1,2,3`, or from a file when the argument is `@path`."""
    text = pathlib.Path(argument[1:]).read_text() if argument.startswith("@") else argument
    return [int(part) for part in text.replace("[", " ").replace("]", " ").replace(",", " ").split()]


def log_softmax(rows):
    rows = rows.astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def report(ours, theirs):
    """The figures that say how far `ours` is from `theirs`."""
    error = (ours - theirs).astype(np.float64)
    best_two = np.sort(theirs, axis=1)[:, -2:]
    margins = best_two[:, 1] - best_two[:, 0]
    differs = ours.argmax(axis=1) != theirs.argmax(axis=1)
    p, q = log_softmax(theirs), log_softmax(ours)
    divergence = (np.exp(p) * (p - q)).sum(axis=1)
    return {
        "positions": len(ours),
        "max_abs_error": float(np.abs(error).max()),
        "nmse": float((error**2).sum() / (theirs.astype(np.float64) ** 2).sum()),
        "top1_agreement": float(1 - differs.mean()),
        "largest_margin_of_a_disagreement": float(margins[differs].max()) if differs.any() else 0.0,
        "mean_kl": float(divergence.mean()),
        "max_kl": float(divergence.max()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=pathlib.Path, nargs="?", help=".npy to compare; leave out to only save the reference")
    parser.add_argument("--tokens", type=read_ids, help="ids as 1,2,3 or @file; needed unless --reference is given")
    parser.add_argument("--model", type=pathlib.Path, help="GGUF file for transformers to run")
    parser.add_argument("--reference", type=pathlib.Path, help=".npy saved earlier")
    parser.add_argument("--save-reference", type=pathlib.Path)
    arguments = parser.parse_args()

    if arguments.reference:
        theirs = np.load(arguments.reference)
    elif arguments.model and arguments.tokens:
        import reference
        theirs = reference.logits(reference.load_model(arguments.model), arguments.tokens)
    else:
        parser.error("give --reference, or --model with --tokens")
    if arguments.save_reference:
        np.save(arguments.save_reference, theirs)
    if arguments.ours:
        ours = np.load(arguments.ours)
        if ours.shape != theirs.shape:
            raise SystemExit(f"shapes differ: ours {ours.shape}, reference {theirs.shape}")
        for name, value in report(ours, theirs).items():
            print(f"{name:>34}  {value:.6g}")


if __name__ == "__main__":
    main()
