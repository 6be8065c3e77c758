#!/usr/bin/env python3
"""Write tests/golden/tokenizer_smollm2.json, tokenizer_tiny.json and tokenizer_pieces.json: texts with their token ids.

The default model's ids come from a `tokenizers` object built from the GGUF's tokens and merges the way the original
tokenizer.json is (digits apart, then GPT-2's byte-level splitting); the tiny vocabularies' from `tokenizers` and
`sentencepiece`. "plain": the text read as text. "special": control tokens written in the text become their ids. No
begin or end token is added. The vocabularies of tokenizer_pieces.json (WordPiece from `tokenizers`, unigrams from
`sentencepiece`) are written beside it, in tiny_tokenizers/.
"""

import argparse
import json
import pathlib
import random

import reference
from tiny_tokenizers import Gpt2Vocabulary, SpmVocabulary, UnigramVocabulary, WordPieceVocabulary, write_vocabulary

TEXTS = [
    "", " ", "  ", "a", " a", "a ", "\n", "\n\n", "\t", "\r\n", " \n ", "a\n\n\n b", "x    y", "    indented\n        twice",
    "Hello, world!", "The quick brown fox jumps over the lazy dog.", "hello hello  hello", "I'm you're they'll IT'S we'd don't’s",
    "0", "2024", "3.14159", "1,234,567.89", "v2.0.1-rc3", "a1b22c333", "x = 12 + 345;", "½ Ⅷ ² ٣ 五",
    "def f(x: int) -> int:\n    return x ** 2  # square\n", "for (int i = 0; i < n; ++i) { sum += a[i]; }",
    "SELECT * FROM users WHERE name = 'O''Brien';", "<div class=\"a b\">&nbsp;</div>", "{\"key\": [1, 2, {\"nested\": null}]}",
    "https://example.org/path?query=1&other=%20#top", "C:\\Users\\name\\file.txt", "snake_case camelCase SCREAMING_CASE kebab-case",
    "¿Dónde está la biblioteca? ¡Aquí!", "Grüße, Straße, ÄÖÜ äöü", "C'est déjà l'été à l'hôtel.", "Zażółć gęślą jaźń",
    "Привет, как дела?", "Γειά σου Κόσμε", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก",
    "你好，世界！", "今日はいい天気ですね。", "안녕하세요 세계", "🌍", "👩‍👩‍👧‍👦 family 🏳️‍🌈", "🇫🇷🇯🇵 👍🏽", "e\u0301 vs é, n\u0303", "Z\u0335\u0301a\u0337lgo",
    "\u200b zero\u200dwidth \ufeff bom", "no\u00a0break\u2003em\u3000ideographic", "\u0000\u0001\u001b[31m\u007f", "line\u2028separator\u0085next",
    "…—–“quoted” ‘single’ «guillemets»", "!!!???...,,,", "$€£¥₿ 100%", "~!@#$%^&*()_+`-={}|[]\\:\";'<>?,./",
    "supercalifragilisticexpialidocious", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\U0010ffff \ue000", "ＦＵＬＬ ｗｉｄｔｈ", "ſ ﬁ ǆ İ ı",
    "bytes the vocabulary lacks: \u0004x\u001d", "▁under▁one▁eighth", "Ġbyte Ċ level", "<0x0A>", "<s>", "</s> after", "[INST] hi [/INST]",
]
SMOLLM2_SPECIAL = [
    "<|im_start|>", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "a<|im_end|>b", "  <|endoftext|>  ",
    "<|im_start|><|im_start|>", "<|im_start", "<|im_start|", "<repo_name>x<file_sep>y", "<|IM_START|>", "1<|im_end|>2",
]
WORD_PIECE_SPECIAL = ["[CLS] the [SEP]", "the[MASK]and", "[cls]", "[ SEP ]", "[UNK][PAD]", "x" * 100, "x" * 101, "he" * 50 + " the",
                      "\u4e00\u4e8c\ufa0e\U00020000", "##ing", "a##b", "o'clock", "\u1e9b\u0323", "\uac00\uac01"]
TINY_GPT2_SPECIAL = ["<|begin|>hello<|turn|> and the<|end|>", "a <|turn|> b", "<|turn", "<|turn|><|turn|>\n\n"]


def random_texts(count):
    """Seeded strings that mix scripts, spaces, digits, marks and symbols."""
    pools = ["abcdefghij XYZ", "0123456789 .,", "    \n\t", "éüñçß ÀÖ", "жзик ЛМ", "你好世界 ", "ابتث ", "क्षि ा", "🌍👍🏽\u200d❤️", "'sdmt!?-_()[]{}<|>", "\u0301\u0303"]
    generator = random.Random(7)
    for _ in range(count):
        runs = ("".join(generator.choices(generator.choice(pools), k=generator.randint(1, 5))) for _ in range(generator.randint(2, 7)))
        yield "".join(runs)


def entries(texts, plain, special=None):
    for text in texts:
        entry = {"text": text, "plain": plain(text)}
        if special:
            entry["special"] = special(text)
        yield json.dumps(entry)


def write(path, text):
    json.loads(text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"{path}: {len(text)} bytes")


def write_pieces(folder, texts):
    """The vocabularies that encoders use, and the ids that they give."""
    vocabularies = {"word_piece": WordPieceVocabulary(), "word_piece_cased": WordPieceVocabulary(cased=True),
                    "unigram": UnigramVocabulary(), "unigram_bytes": UnigramVocabulary(byte_fallback=True)}
    (folder / "tiny_tokenizers").mkdir(exist_ok=True)
    sections = []
    for name, vocabulary in vocabularies.items():
        if "word_piece" in name:
            write_vocabulary(vocabulary, folder / "tiny_tokenizers" / f"{name}.gguf", "bert")
            lines = entries(texts + WORD_PIECE_SPECIAL, lambda text: vocabulary.encode(text, False), vocabulary.encode)
        else:
            write_vocabulary(vocabulary, folder / "tiny_tokenizers" / f"{name}.gguf", "t5")
            lines = entries(texts, vocabulary.encode)
        sections.append(f'"{name}": [\n' + ",\n".join(lines) + "\n]")
    write(folder / "tokenizer_pieces.json", "{" + ",\n".join(sections) + "}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reference.model_argument(parser)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden", help="the folder")
    arguments = parser.parse_args()

    tokenizers = [reference.load_tokenizer(arguments.model, parse_special=special) for special in (False, True)]
    plain, special = [lambda text, t=t: t.encode(text, add_special_tokens=False).ids for t in tokenizers]
    texts = TEXTS + list(random_texts(60))
    lines = ",\n".join(entries(texts + SMOLLM2_SPECIAL, plain, special))
    write(arguments.out / "tokenizer_smollm2.json", f"[\n{lines}\n]\n")

    gpt2, spm = Gpt2Vocabulary(), SpmVocabulary()
    gpt2_lines = ",\n".join(entries(texts + TINY_GPT2_SPECIAL, lambda text: gpt2.encode(text, False), lambda text: gpt2.encode(text, True)))
    spm_lines = ",\n".join(entries(texts, spm.encode))
    write(arguments.out / "tokenizer_tiny.json", f'{{"gpt2": [\n{gpt2_lines}\n],\n"spm": [\n{spm_lines}\n]}}\n')
    write_pieces(arguments.out, texts)


if __name__ == "__main__":
    main()
