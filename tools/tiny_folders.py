#!/usr/bin/env python3
"""Write tests/golden/folders/: tiny tokenizers as Hugging Face folders keep them, and the ids that `tokenizers` gives.

Each folder NAME has the `tokenizer.json` of a vocabulary trained on the lines of `tiny_tokenizers.py`, built as a model
family builds its own; `ids.json` lists texts with their ids, without and with the tokens that frame a text.
"""

import argparse
import io
import json
import pathlib
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tiny_tokenizers import SPM_TEXT

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]", r"\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]"
KIMI = (rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXTS = ["", "hello", " hello", "The quick brown fox", "the  river\n\n and\t\tthe wind ", "1984 + 2001 = 3985", "   ",
         "don't WE'LL I'm", "café thés Über schön", "naïve façade — “quotes”…", "你好,世界!", "مرحبا بالعالم", "Привет, мир", "🦕🦖 👩‍👩‍👧",
         "def main():\n    return [x ** 2 for x in range(10)]  # done\n", "\r\n\r\n x \r\n", "a\u0000b", "<|end|>", "the <|end|> end",
         "<|user|>hello<|end|>\n", "x" * 40, "\u2581the \u2581", "<0x41>",
         "cafe\u0301 Ang\u0308stro\u0308m \u1112\u1161\u11ab \ufb01ne \uff21\u2460", "The  THE\u00a0the\u3000x", "a_b-c.d,e;f (g) [h] {i}", "ＡＢＣ１２３",
         "thes <user> x<user>y <user>", "the MASK of  MASK\n  the", "x<|user|>  \n y", "\u0130stanbul \u03a3\u03bf\u03c6\u03cc\u03c2", "``quoted'' text",
         "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0928\u092e\u0938\u094d\u0924\u0947 \u1780\u17d2", "tab\tand\x0bvertical\x1fx\u200bzero", "12345678 1 22 333 4444", "ax\u0301 x\u0302\u0304\u0301 e\u0301"]


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
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
                                          + [decoders.Strip(" ", 1, 0)] * prefix)
    finish(tokenizer, True)
    return tokenizer


def prefix_space():
    tokenizer = byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


RULES = {"\ufb01": "fi", "\uff21": "A", "\uff22": "B", "\u00a0": " ", "\u3000": " ", "\u2460": "1", "e\u0301": "\u00e9", "\t": " ", "\u2026": "...",
         "\u1112\u1161\u11ab": "\ud55c", "\u0130": "i", "\n": " ", "x": "ks", "x\u0301": "X"}


def write_rules(table):
    for text, form in RULES.items():
        table.write(" ".join(f"{ord(c):X}" for c in text) + "\t" + " ".join(f"{ord(c):X}" for c in form) + "\n")
    table.flush()
    return table.name


def charsmap_bytes():
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as table:
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(SPM_TEXT.splitlines()), model_writer=out, vocab_size=120,
                                                 normalization_rule_tsv=write_rules(table), minloglevel=2)
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(out.getvalue())
    return model.normalizer_spec.precompiled_charsmap


def trained(model, trainer, normalizer=None, cut=None, decoder=None):
    """A tokenizer of any parts, trained on the same lines."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, cut
    if decoder:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(SPM_TEXT.splitlines(), trainer)
    return tokenizer


def word_piece(lowercase, frame):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = trained(models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False),
                        normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(cleanup=False))
    tokenizer.post_processor = frame
    return tokenizer


def unigram(normalizer, cut, byte_fallback=False):
    """As T5's, ALBERT's and XLM-R's: a unigram model behind normalizers."""
    pieces = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]]
    if byte_fallback:
        pieces += [[f"<0x{i:02X}>", -9.0] for i in range(256)]
    source = trained(models.Unigram(), trainers.UnigramTrainer(vocab_size=260, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False),
                     None, pre_tokenizers.Metaspace())
    pieces += [piece for piece in json.loads(source.to_str())["model"]["vocab"] if piece[0] != "<unk>"]
    tokenizer = Tokenizer(models.Unigram([tuple(piece) for piece in pieces], 2, byte_fallback))
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, cut, decoders.Metaspace()
    if byte_fallback:
        tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    return tokenizer


def charsmap():
    """A small table of SentencePiece's, of a few rules and some of NFKC."""
    return normalizers.Precompiled(charsmap_bytes())


def plain_bpe(normalizer, cut, **options):
    """BPE over characters, not bytes, with a token for what is unknown."""
    tokenizer = trained(models.BPE(unk_token="<unk>", **options), trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>"], show_progress=False,
        **{key: value for key, value in options.items() if key != "fuse_unk"}), normalizer, cut)
    finish(tokenizer, False)
    return tokenizer


def with_flags(tokenizer):
    """Added tokens that care what is beside them, as RoBERTa's mask and Phi 3's turns do."""
    tokenizer.add_special_tokens([AddedToken("MASK", lstrip=True, special=True)])
    tokenizer.add_tokens([AddedToken("<user>", rstrip=True, normalized=False), AddedToken("river", single_word=True),
                          AddedToken("The", single_word=True, normalized=True), AddedToken("évi", normalized=True)])
    return tokenizer


def roberta():
    tokenizer = with_flags(byte_level())
    begin, end = tokenizer.token_to_id("<|begin|>"), tokenizer.token_to_id("<|end|>")
    tokenizer.post_processor = processors.RobertaProcessing(("<|end|>", end), ("<|begin|>", begin))
    return tokenizer


def two_in_front():
    """As GLM 4 begins texts."""
    tokenizer = byte_level(QWEN2)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<|begin|>", "<|end|>")]
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(), processors.TemplateProcessing("<|begin|> <|end|> $A", "<|begin|> <|end|> $A $B", ids)])
    return tokenizer


def spaces_first(split):
    """As Llama 2's and Mistral's newer files: a space in front of the text alone."""
    tokenizer = with_flags(sentence_piece(False))
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=split)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


SPLITS = [pre_tokenizers.Split("-", "merged_with_previous"), pre_tokenizers.Split(Regex("[.,;]+"), "merged_with_next"),
          pre_tokenizers.Split(Regex(r"\p{L}+"), "removed", invert=True), pre_tokenizers.Split(Regex("e|a"), "contiguous")]
FOLDERS = {
    "bert": lambda: word_piece(True, processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", [("[CLS]", 2), ("[SEP]", 3)])),
    "bert_cased": lambda: word_piece(False, processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))),
    "t5": lambda: unigram(normalizers.Sequence([charsmap(), normalizers.Replace(Regex(" {2,}"), " ")]), pre_tokenizers.Metaspace()),
    "xlmr": lambda: unigram(charsmap(), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])),
    "albert": lambda: unigram(normalizers.Sequence([
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
        normalizers.Strip(), charsmap()]), pre_tokenizers.Metaspace(prepend_scheme="first"), byte_fallback=True),
    "roberta": roberta, "glm": two_in_front, "llama2_first": lambda: spaces_first(False), "mistral_split": lambda: spaces_first(True),
    "phi3": lambda: with_flags(sentence_piece(True)),
    "nfkc": lambda: with_flags(byte_level(LLAMA3, normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]))),
    "prefix_space": lambda: with_flags(prefix_space()),
    "kimi": lambda: byte_level(KIMI, ignore_merges=True),
    "whitespace": lambda: with_flags(plain_bpe(normalizers.Sequence([normalizers.NFD(), normalizers.Nmt()]), pre_tokenizers.Whitespace())),
    "splits": lambda: plain_bpe(None, pre_tokenizers.Sequence(SPLITS), fuse_unk=True),
    "delimited": lambda: plain_bpe(normalizers.NFC(), pre_tokenizers.Sequence([
        pre_tokenizers.CharDelimiterSplit("e"), pre_tokenizers.Punctuation("merged_with_next"), pre_tokenizers.Digits()])),
    "subwords": lambda: plain_bpe(None, pre_tokenizers.WhitespaceSplit(), continuing_subword_prefix="##", end_of_word_suffix="</w>"),
    "gpt2": lambda: byte_level(),
    "smollm": lambda: byte_level(digits=True),
    "llama3": lambda: byte_level(LLAMA3, ignore_merges=True, begin=True),
    "qwen2": lambda: byte_level(QWEN2, normalizer=normalizers.NFC()),
    "llama2": lambda: sentence_piece(True),
    "gemma": lambda: sentence_piece(False),
}


# Folders with SentencePiece's own file: what it was trained with.
MODELS = {
    "sp_llama2": {"model_type": "bpe", "vocab_size": 420, "byte_fallback": True, "normalization_rule_name": "identity",
                  "remove_extra_whitespaces": False, "split_digits": True, "allow_whitespace_only_pieces": True},
    "sp_gemma": {"model_type": "bpe", "vocab_size": 420, "byte_fallback": True, "normalization_rule_name": "identity",
                 "remove_extra_whitespaces": False, "add_dummy_prefix": False, "user_defined_symbols": ["<user>", "\n\n", "\u2581\u2581", "the\u2581"]},
    "sp_charsmap": {"model_type": "bpe", "vocab_size": 160, "rules": True, "user_defined_symbols": ["<user>"]},
    "sp_unigram": {"model_type": "unigram", "vocab_size": 130, "rules": True, "user_defined_symbols": ["<user>"]},
    "sp_unigram_bytes": {"model_type": "unigram", "vocab_size": 380, "byte_fallback": True, "normalization_rule_name": "identity",
                         "remove_extra_whitespaces": False},
}


def sentence_piece_model(folder, rules=False, **settings):
    """Writes the file and what SentencePiece encodes with it; framed as models of that kind are."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as table:
        if rules:
            settings["normalization_rule_tsv"] = write_rules(table)
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(SPM_TEXT.splitlines()), model_writer=out, minloglevel=2,
                                                 max_sentencepiece_length=10, **settings)
    (folder / "tokenizer.model").write_bytes(out.getvalue())
    processor = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    bpe = settings["model_type"] == "bpe"
    cases = []
    for text in TEXTS:
        plain = processor.encode(text)
        framed = [processor.bos_id()] * bpe + plain + [processor.eos_id()] * (not bpe)
        known = processor.unk_id() not in plain and "\u2581" not in text
        cases.append({"text": text, "framed": framed, "plain": plain, "decoded": processor.decode(plain) if known else None})
    return cases


def case(tokenizer, text):
    """Ids with control tokens parsed, alone and framed; and without ("plain"), with what those decode to.

    The library decodes added tokens that it found in normal form to that form; not so here, so these are left out.
    """
    parsed = {"ids": tokenizer.encode(text, add_special_tokens=False).ids, "framed": tokenizer.encode(text).ids}
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    changed = any(token.normalized for token in tokenizer.get_added_tokens_decoder().values()) and tokenizer.normalizer
    return {"text": text, **parsed, "plain": plain, "decoded": None if changed else tokenizer.decode(plain)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/folders")
    out = parser.parse_args().out
    for name, build in FOLDERS.items():
        tokenizer = build()
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        cases = [case(tokenizer, text) for text in TEXTS]
        (folder / "ids.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    for name, settings in MODELS.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        cases = sentence_piece_model(out / name, **settings)
        (out / name / "ids.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(f"{out}: {sum(path.stat().st_size for path in out.rglob('*'))} bytes")


if __name__ == "__main__":
    main()
