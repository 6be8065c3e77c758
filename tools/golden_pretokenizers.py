#!/usr/bin/env python3
"""Write tests/golden/pretokenizers.json: texts cut into words by the pre-tokenizer of each model family.

The patterns are those of the families' own tokenizer.json, run by the `tokenizers` package (whose regular expressions
backtrack, unlike this project's). For each name: the lengths in bytes of the words of each text.
"""

import argparse
import json
import pathlib

from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, Digits, Punctuation, Sequence, Split

from golden_tokenizer import TEXTS, random_texts

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s+(?!\S)|\s+"
QWEN2 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|" + SPACES
QWEN35 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|" + SPACES
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|" + SPACES
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|" + SPACES)
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTION}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTION}?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|" + SPACES)
DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
             r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|" + SPACES)
BAILING = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|" + SPACES)
SEED_CODER = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|" + SPACES
EXAONE_MOE = (CONTRACTION + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
              r"|\s*[\r\n]|" + SPACES)
MINICPM5 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|" + SPACES


KIMI_UPPER, KIMI_LOWER = UPPER[:-1] + r"&&[^\p{Han}]]", LOWER[:-1] + r"&&[^\p{Han}]]"
KIMI = (rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?{KIMI_UPPER}*{KIMI_LOWER}+{CONTRACTION}?|[^\r\n\p{{L}}\p{{N}}]?{KIMI_UPPER}+{KIMI_LOWER}*{CONTRACTION}?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|" + SPACES)
YOUTU = GPT4O.replace("{1,3}", "")
UFAKZEKA = QWEN2.removeprefix(CONTRACTION + "|")
JAIS2 = LLAMA3.removesuffix(SPACES) + "|".join(rf"\s{{{2 ** i}}}(?!\S)" for i in range(9, 1, -1)) + r"|\s{1,2}(?!\S)|\s{1}"
SPARK = DEEPSEEK3.replace(r"[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+", r"[\p{P}\p{S}]+|[\r\n]")


def split(pattern):
    return Split(Regex(pattern), "isolated")


MORE = ["1234567 12345abc 1234_5 ½1234 ١٢٣٤٥ 12.3456", " " * 700 + "x" + " " * 13 + "y" + " " * 5, "漢字かなカナ한글ㄅㄆ，。！“x”", "Ünïcode'S \tTab\n\n  \n x"]
GPT2 = ByteLevel(add_prefix_space=False, use_regex=True)
FAMILIES = {
    "gpt-2": [GPT2],
    "smollm": [Digits(individual_digits=True), GPT2],
    "llama-bpe": [split(LLAMA3)],
    "qwen2": [split(QWEN2)],
    "qwen35": [split(QWEN35)],
    "tekken": [split(TEKKEN)],
    "gpt-4o": [split(GPT4O)],
    "deepseek-v3": [split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK3)],
    "deepseek-coder": [split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"),
                       split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), Digits(individual_digits=True)],
    "falcon": [Punctuation("contiguous"), GPT2, split("[0-9][0-9][0-9]")],
    "bloom": [split(" ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+")],
    "bailingmoe": [split(BAILING)],
    "seed-coder": [split(SEED_CODER)],
    "exaone-moe": [split(EXAONE_MOE)],
    "kimi-k2": [split(KIMI)],
    "youtu": [split("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+"), split(YOUTU)],
    "ufakzeka": [split(UFAKZEKA)],
    "laguna": [split(r"[^\n]+|[\n]+"), split(QWEN2)],
    "jais-2": [split(JAIS2)],
    "superbpe": [split(r"\p{N}+"), split(r"(?=(\d{3})+(?!\d))")],
    "tiny_aya": [split(r"\d{1,3}(?=(?:\d{3})*\b)"), split(GPT4O)],
    "spark2_5": [split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(SPARK), Digits(individual_digits=True)],
    "granite-embed-multi-97m": [split(GPT4O)],
    "minicpm5": [split(r"\p{N}{1,3}"), split(MINICPM5)],
}


def words(steps, text):
    """The lengths in bytes of the words. ByteLevel spells a byte as a character, so it goes last, unless it cuts."""
    spelled = any(step is GPT2 for step in steps)
    pieces = Sequence(steps).pre_tokenize_str(text)
    if spelled:
        return [len(piece) for piece, _ in pieces]
    return [len(piece.encode()) for piece, _ in pieces]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/pretokenizers.json", help="the file")
    arguments = parser.parse_args()
    texts = [text for text in TEXTS + MORE + list(random_texts(60)) if text]
    families = {name: [words(steps, text) for text in texts] for name, steps in FAMILIES.items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(lengths, separators=(',', ':'))}" for name, lengths in families.items())
    arguments.out.write_text(f'{{"texts": {json.dumps(texts)},\n"families": {{\n{lines}\n}}}}\n')
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
