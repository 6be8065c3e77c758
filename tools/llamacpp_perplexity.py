#!/usr/bin/env python3
"""Report llama.cpp's perplexity of a text, cut and scored as the example `perplexity` does. Needs: numpy, llama-cpp-python."""

import argparse
import pathlib

import llama_cpp
import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    for path in arguments.models:
        model = llama_cpp.Llama(path, n_ctx=arguments.ctx, n_batch=arguments.ctx, logits_all=True, verbose=False,
                                n_threads=arguments.threads, n_threads_batch=arguments.threads)
        tokens = model.tokenize(arguments.text.read_bytes(), add_bos=True, special=False)
        bos = model.token_bos() if llama_cpp.llama_vocab_get_add_bos(model._model.vocab) else None
        losses = []
        for start in range(0, min(len(tokens) // arguments.ctx, arguments.chunks) * arguments.ctx, arguments.ctx):
            chunk = list(tokens[start:start + arguments.ctx])
            chunk[0] = chunk[0] if bos is None else bos
            model.reset()
            model.eval(chunk)
            first = arguments.ctx // 2
            logits = model.scores[first:arguments.ctx - 1].astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            normalizers = np.log(np.exp(logits).sum(axis=1))
            wanted = np.array(chunk[first + 1:])
            losses.extend(normalizers - logits[np.arange(len(wanted)), wanted])
        mean, error = np.mean(losses), np.std(losses) / np.sqrt(len(losses) - 1)
        print(f"{path}: PPL = {np.exp(mean):.4f} +/- {np.exp(mean) * error:.5f}", flush=True)


if __name__ == "__main__":
    main()
