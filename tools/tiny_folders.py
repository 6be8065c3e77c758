#!/usr/bin/env python3
"""Write tests/golden/folders/: tiny tokenizers as Hugging Face folders keep them, and the ids that `tokenizers` gives.

Each folder NAME has the `tokenizer.json` of a vocabulary trained on the lines of `tiny_tokenizers.py`, built as a model
family builds its own; `ids.json` lists texts with their ids, without and with the tokens that frame a text.
"""

import argparse
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tiny_tokenizers import SPM_TEXT

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
TEXTS = ["", "hello", " hello", "The quick brown fox", "the  river\n\n and\t\tthe wind ", "1984 + 2001 = 3985", "   ",
         "don't WE'LL I'm", "café thés Über schön", "naïve façade — “quotes”…", "你好,世界!", "مرحبا بالعالم", "Привет, мир", "🦕🦖 👩‍👩‍👧",
         "def main():\n    return [x ** 2 for x in range(10)]  # done\n", "\r\n\r\n x \r\n", "a\u0000b", "<|end|>", "the <|end|> end",
         "<|user|>hello<|end|>\n", "x" * 40, "\u2581the \u2581", "<0x41>"]


def byte_level(pattern=None, digits=False, ignore_merges=False, begin=False, normalizer=None):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.normalizer = normalizer
    parts = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if pattern:
        parts = [pre_tokenizers.Split(Regex(pattern), "isolated"),
                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    else:
        parts.append(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts) if len(parts) > 1 else parts[0]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                                  show_progress=False)
    tokenizer.train_from_iterator(SPM_TEXT.splitlines(), trainer)
    finish(tokenizer, begin)
    return tokenizer


def finish(tokenizer, begin):
    tokenizer.add_special_tokens([AddedToken("<|begin|>", special=True), AddedToken("<|end|>", special=True)])
    tokenizer.add_tokens([AddedToken("<|user|>", normalized=False, special=False)])
    if begin:
        tokenizer.post_processor = processors.TemplateProcessing(
            "<|begin|> $A", "<|begin|> $A <|begin|> $B", [("<|begin|>", tokenizer.token_to_id("<|begin|>"))])


def sentence_piece(prefix):
    """As Llama 2's (with a prefix) and Gemma's (without) are converted: BPE with byte fallback."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", "\u2581")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), replace]) if prefix else replace
    trainer = trainers.BpeTrainer(vocab_size=520, special_tokens=["<unk>"] + [f"<0x{i:02X}>" for i in range(256)],
                                  show_progress=False)
    words = [word for line in SPM_TEXT.splitlines() for word in line.split(" ")]
    tokenizer.train_from_iterator((" " + word for word in words), trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if not token["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    finish(tokenizer, True)
    return tokenizer


FOLDERS = {
    "gpt2": lambda: byte_level(),
    "smollm": lambda: byte_level(digits=True),
    "llama3": lambda: byte_level(LLAMA3, ignore_merges=True, begin=True),
    "qwen2": lambda: byte_level(QWEN2, normalizer=normalizers.NFC()),
    "llama2": lambda: sentence_piece(True),
    "gemma": lambda: sentence_piece(False),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/folders")
    out = parser.parse_args().out
    for name, build in FOLDERS.items():
        tokenizer = build()
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        cases = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids,
                  "framed": tokenizer.encode(text).ids} for text in TEXTS]
        (folder / "ids.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(f"{out}: {sum(path.stat().st_size for path in out.rglob('*'))} bytes")


if __name__ == "__main__":
    main()
