#!/usr/bin/env python3
"""Report llama.cpp's perplexity of a text, cut and scored as the example `perplexity` does; with --ours, beside our own.

With --ours PATH, the built example, each file is also read by it, and the script fails if llama.cpp cannot load a file or
the perplexities differ by more than --tolerance. Needs: numpy, llama-cpp-python.

    llamacpp_perplexity.py text.txt --ours target/release/examples/perplexity *.gguf
"""

import argparse
import json
import pathlib
import subprocess
import sys

import llama_cpp
import numpy as np


def losses(path, arguments):
    """Negative log-likelihoods of the second half of each chunk."""
    model = llama_cpp.Llama(path, n_ctx=arguments.ctx, n_batch=arguments.ctx, logits_all=True, verbose=False,
                            n_threads=arguments.threads, n_threads_batch=arguments.threads)
    tokens = model.tokenize(arguments.text.read_bytes(), add_bos=True, special=False)
    bos = model.token_bos() if llama_cpp.llama_vocab_get_add_bos(model._model.vocab) else None
    found = []
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
        found.extend(normalizers - logits[np.arange(len(wanted)), wanted])
    model.close()
    return np.array(found)


def ours(path, arguments):
    command = [arguments.ours, "--model", path, "--file", arguments.text, "--ctx", arguments.ctx, "--chunks", arguments.chunks,
               "--threads", arguments.threads, "--json"]
    return json.loads(subprocess.run([str(part) for part in command], check=True, capture_output=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--ctx", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ours", help="the built example `perplexity`")
    parser.add_argument("--tolerance", type=float, default=0.03, help="of the ratio of both perplexities")
    arguments = parser.parse_args()
    failed = 0
    for path in arguments.models:
        name = pathlib.Path(path).name
        try:
            found = losses(path, arguments)
        except Exception as error:  # whatever the library raises, the next file is still of interest
            print(f"{name}: llama.cpp cannot load or run it: {error}", flush=True)
            failed += 1
            continue
        mean, error = np.mean(found), np.std(found) / np.sqrt(len(found) - 1)
        line = f"{name}: PPL = {np.exp(mean):.4f} +/- {np.exp(mean) * error:.5f}"
        if arguments.ours:
            perplexity = ours(path, arguments)["perplexity"]
            ratio = perplexity / np.exp(mean)
            fits = abs(np.log(ratio)) <= np.log1p(arguments.tolerance)
            failed += not fits
            line += f", ours {perplexity:.4f}, ratio {ratio:.4f}{'' if fits else ' DIFFERS'}"
        print(line, flush=True)
    if arguments.ours:
        print(f"{len(arguments.models) - failed} of {len(arguments.models)} files agree")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
