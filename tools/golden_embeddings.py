#!/usr/bin/env python3
"""Write tests/golden/embeddings.json: vectors of texts by the default model, from transformers in f32.

The mean of the last hidden rows (after the last norm) over all tokens, and the last row, each scaled to length 1. Of each
vector the first 24 values; and of all pairs of mean vectors the cosine.
"""

import argparse
import json
import pathlib

import numpy as np

import reference

KEPT = 24
TEXTS = [
    "A cat sat on the mat.",
    "A kitten lay on the rug.",
    "Interest rates rose in March, and the bank warned of more.",
    "def add(a, b):\n    return a + b\n",
    "今日はいい天気ですね。",
    " ".join(f"Line {number} of a long text about the sea." for number in range(60)),
]


def unit(vector):
    return vector / np.linalg.norm(vector)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reference.model_argument(parser)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/embeddings.json")
    arguments = parser.parse_args()

    import torch
    model, tokenizer = reference.load_model(arguments.model), reference.load_tokenizer(arguments.model)
    cases, means = [], []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        with torch.inference_mode():
            rows = model.model(torch.tensor([ids])).last_hidden_state[0].double().numpy()
        mean, last = unit(rows.mean(axis=0)), unit(rows[-1])
        means.append(mean)
        cases.append({"text": text, "tokens": len(ids), "mean": [round(float(x), 6) for x in mean[:KEPT]],
                      "last": [round(float(x), 6) for x in last[:KEPT]]})
    cosines = [[round(float(a @ b), 6) for b in means] for a in means]
    arguments.out.write_text(json.dumps({"size": len(means[0]), "cases": cases, "cosines": cosines}, indent=1, ensure_ascii=False) + "\n")
    print(f"{arguments.out}: {len(cases)} texts")


if __name__ == "__main__":
    main()
