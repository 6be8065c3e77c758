#!/usr/bin/env python3
"""Write tests/golden/llamacpp_greedy.json: llama.cpp's greedy continuations of the prompts of default_model.json.

"margins" are between llama.cpp's best and second-best logits. "spm_special": the tiny SentencePiece vocabulary's ids
of texts with control tokens in them, which sentencepiece itself does not define.

Also prints how llama.cpp compares with the other goldens (tiny models' logits, tokenizers), as a check of the goldens
themselves. Needs an environment with llama-cpp-python; --threads changes speed only.
"""

import argparse
import json
import os
import pathlib

import llama_cpp
import numpy as np

STEPS = 48
SPM_SPECIAL = ["<s>", "<s>the other", "the</s> other", "a <s> b", "</s></s>", " <s>\n", "é<unk>ü", "<s", "x</s>"]


def load(path, **options):
    return llama_cpp.Llama(str(path), n_ctx=512, n_batch=512, verbose=False, **options)


def greedy(model, ids):
    """STEPS greedy ids after `ids`, with margins; end tokens are not obeyed, as in default_model.json."""
    model.reset()
    chosen, margins, step = [], [], list(ids)
    for _ in range(STEPS):
        model.eval(step)
        row = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), shape=(model.n_vocab(),))
        second, best = np.argpartition(row, -2)[-2:]
        margins.append(round(float(row[best] - row[second]), 4))
        step = [int(best)]
        chosen += step
    return chosen, margins


def continuations(model, golden):
    for entry in json.loads((golden / "default_model.json").read_text())["greedy"]:
        ids, margins = greedy(model, entry["prompt_ids"])
        agree = next((i for i, (ours, theirs) in enumerate(zip(ids, entry["ids"])) if ours != theirs), STEPS)
        note = f"; margin there {entry['margins'][agree]}" if agree < STEPS else ""
        print(f"{entry['name']}: the first {agree} of {STEPS} ids are those of transformers{note}")
        text = model.detokenize(ids, special=True).decode("utf-8", errors="replace")
        yield json.dumps({"name": entry["name"], "prompt_ids": entry["prompt_ids"], "ids": ids, "text": text, "margins": margins},
                         ensure_ascii=False)


def check_tiny(golden, threads):
    """Print the largest difference of llama.cpp's logits from each tiny model's golden."""
    for entry in json.loads((golden / "tiny/index.json").read_text()):
        model = load(golden / "tiny" / entry["file"], logits_all=True, n_threads=threads)
        model.eval(entry["ids"])
        ours = np.array(model.scores[:len(entry["ids"])])
        theirs = np.fromfile(golden / "tiny" / entry["logits"], "<f4").reshape(ours.shape)
        print(f"tiny {entry['name']}: largest difference {np.abs(ours - theirs).max():.5f} of a spread of {theirs.std():.2f}")


def check_tokenizer(name, path, entries):
    """Print the texts that llama.cpp splits otherwise than the golden."""
    model = load(path, vocab_only=True)
    for entry in entries:
        for field, special in (("plain", False), ("special", True)):
            if field in entry and entry["text"]:
                ids = model.tokenize(entry["text"].encode(), add_bos=False, special=special)
                if ids != entry[field]:
                    print(f"{name} {field}: {entry['text']!r}: llama.cpp {ids}, golden {entry[field]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=os.environ.get("DINO_MODEL"), required="DINO_MODEL" not in os.environ)
    parser.add_argument("--golden", type=pathlib.Path, default="tests/golden", help="the folder")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    golden = arguments.golden

    model = load(arguments.model, n_threads=arguments.threads)
    lines = ",\n".join(continuations(model, golden))
    spm = load(golden / "tiny/spm.gguf", vocab_only=True)
    special = ",\n".join(json.dumps({"text": text, "ids": spm.tokenize(text.encode(), add_bos=False, special=True)}, ensure_ascii=False)
                         for text in SPM_SPECIAL)
    document = (f'{{"llama_cpp_python": "{llama_cpp.__version__}",\n"greedy": [\n{lines}\n],\n'
                f'"spm_special": [\n{special}\n]}}\n')
    json.loads(document)
    (golden / "llamacpp_greedy.json").write_text(document)

    check_tiny(golden, arguments.threads)
    tiny = json.loads((golden / "tokenizer_tiny.json").read_text())
    check_tokenizer("default model", arguments.model, json.loads((golden / "tokenizer_smollm2.json").read_text()))
    check_tokenizer("tiny gpt2", golden / "tiny/gqa.gguf", tiny["gpt2"])
    check_tokenizer("tiny spm", golden / "tiny/spm.gguf", tiny["spm"])


if __name__ == "__main__":
    main()
