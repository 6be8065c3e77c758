"""The vocabularies of the tiny models: byte-level BPE (gpt2 type), SentencePiece (llama and t5 types), WordPiece (bert).

Not a script of its own. Each class writes itself into a GGUF file as llama.cpp's converter does and encodes text
through the library that defines its type (`tokenizers`, `sentencepiece`).
"""

import io
import json
import tempfile

import gguf
import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

MERGES = ["t h", "th e", "Ġ the", "i n", "e r", "o n", "r e", "a t", "a n", "an d", "Ġ and", "Ġ s", "in g", "o u",
          "Ġ w", "l l", "h e", "he ll", "hell o", "Ġ Ġ", "ĠĠ ĠĠ", "Ċ Ċ", "Ã ©"]

SPM_TEXT = """The quick brown fox jumps over the lazy dog while the other animals watch from the edge of the forest.
There is nothing that the river, the mountain and the wind could not teach to those who listen with patience.
In the morning they went together to the market, and in the evening they came home with bread, cheese and apples.
She said that 3 of the 12 letters had not been opened; the others, from 1984 and 2001, were lying on the table.
Le café était fermé, mais le garçon nous a donné deux thés. Über den Dächern schien die Sonne, wie schön!
def main(): return [value + 1 for value in values if value > 0]    # nothing else here
"""
SPM_SIZE = 360


class Gpt2Vocabulary:
    """256 bytes, a handful of merges and three control tokens; the gpt-2 pre-tokenizer; begins with a token."""

    name = "gpt2"

    def __init__(self):
        self.merges = [tuple(merge.split(" ")) for merge in MERGES]
        ordinary = sorted(pre_tokenizers.ByteLevel.alphabet()) + [left + right for left, right in self.merges]
        self.special = ["<|begin|>", "<|end|>", "<|turn|>"]
        self.tokens = ordinary + self.special
        self.bos, self.eos = len(ordinary), len(ordinary) + 1

    def write(self, writer):
        ordinary = len(self.tokens) - len(self.special)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(self.tokens)
        writer.add_token_types([gguf.TokenType.NORMAL] * ordinary + [gguf.TokenType.CONTROL] * len(self.special))
        writer.add_token_merges([" ".join(merge) for merge in self.merges])
        writer.add_bos_token_id(self.bos)
        writer.add_eos_token_id(self.eos)
        writer.add_add_bos_token(True)

    def save(self, folder):
        """The same vocabulary as a folder of Hugging Face keeps it."""
        tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(self.tokens)}, self.merges))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in self.special])
        begin = self.special[0]
        tokenizer.post_processor = processors.TemplateProcessing(f"{begin} $A", f"{begin} $A $B", [(begin, self.bos)])
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        config = {"bos_token": begin, "eos_token": self.special[1],
                  "chat_template": "{% for m in messages %}<|turn|>{{ m.content }}{% endfor %}"}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        generation = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [self.eos, self.eos + 1]}
        (folder / "generation_config.json").write_text(json.dumps(generation))

    def encode(self, text, parse_special):
        """Ids without the begin token."""
        tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(self.tokens)}, self.merges))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        if parse_special:
            tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in self.special])
        return tokenizer.encode(text, add_special_tokens=False).ids


class SpmVocabulary:
    """A SentencePiece BPE model with byte fallback and Llama 2's settings, trained on six lines; begins with `<s>`."""

    name = "spm"

    def __init__(self):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(SPM_TEXT.splitlines()), model_writer=model, model_type="bpe", vocab_size=SPM_SIZE,
            byte_fallback=True, character_coverage=0.98, split_digits=True, allow_whitespace_only_pieces=True,
            remove_extra_whitespaces=False, normalization_rule_name="identity", minloglevel=2, num_threads=1)
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        self.bos, self.eos = self.processor.bos_id(), self.processor.eos_id()
        self.tokens = [self.processor.id_to_piece(i) for i in range(SPM_SIZE)]

    def kind(self, token):
        if self.processor.is_unknown(token):
            return gguf.TokenType.UNKNOWN
        if self.processor.is_control(token):
            return gguf.TokenType.CONTROL
        return gguf.TokenType.BYTE if self.processor.is_byte(token) else gguf.TokenType.NORMAL

    def write(self, writer):
        ids = range(SPM_SIZE)
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(self.tokens)
        writer.add_token_scores([self.processor.get_score(i) for i in ids])
        writer.add_token_types([self.kind(i) for i in ids])
        writer.add_bos_token_id(self.bos)
        writer.add_eos_token_id(self.eos)
        writer.add_unk_token_id(self.processor.unk_id())
        writer.add_add_bos_token(True)
        writer.add_add_eos_token(False)
        writer.add_add_space_prefix(True)

    def encode(self, text):
        """Ids without `<s>`; sentencepiece never reads control tokens out of text, so only plain text is defined."""
        return self.processor.encode(text)


# Text and normal form; far fewer than the 80,000 of NFKC, but of each kind: letters, ligatures, compositions, white
# space, deletions, one to many.
NORMALIZATION = [("\uff21", "A"), ("\uff42", "b"), ("\ufb01", "fi"), ("e\u0301", "\u00e9"), ("n\u0303", "\u00f1"), ("\t", " "),
                 ("\n", " "), ("\r", " "), ("\u00a0", " "), ("\u3000", " "), ("\u0001", ""), ("\u200b", " "), ("\u2026", "..."),
                 ("\u00bd", "1\u20442"), ("\u2167", "VIII"), ("\u00b2", "2")]


class UnigramVocabulary:
    """A SentencePiece unigram model as T5's: normalises, collapses spaces; ends with `</s>`."""

    name = "unigram"
    size = 420

    def __init__(self, byte_fallback=False):
        model = io.BytesIO()
        points = lambda text: " ".join(f"{ord(character):X}" for character in text)
        with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
            rules.writelines(f"{points(text)}\t{points(form)}\n" for text, form in NORMALIZATION)
            rules.flush()
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(SPM_TEXT.splitlines()), model_writer=model, model_type="unigram",
                vocab_size=self.size + 256 * byte_fallback, byte_fallback=byte_fallback, character_coverage=0.99, hard_vocab_limit=False,
                normalization_rule_tsv=rules.name, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2, num_threads=1)
        self.model = model.getvalue()
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=self.model)
        self.eos = self.processor.eos_id()
        self.tokens = [self.processor.id_to_piece(i) for i in range(self.processor.vocab_size())]

    kind = SpmVocabulary.kind

    def write(self, writer):
        from sentencepiece import sentencepiece_model_pb2
        normalizer = sentencepiece_model_pb2.ModelProto.FromString(self.model).normalizer_spec
        ids = range(len(self.tokens))
        writer.add_tokenizer_model("t5")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(self.tokens)
        writer.add_token_scores([self.processor.get_score(i) for i in ids])
        writer.add_token_types([self.kind(i) for i in ids])
        writer.add_add_space_prefix(normalizer.add_dummy_prefix)
        writer.add_remove_extra_whitespaces(normalizer.remove_extra_whitespaces)
        writer.add_precompiled_charsmap(normalizer.precompiled_charsmap)
        writer.add_eos_token_id(self.eos)
        writer.add_unk_token_id(self.processor.unk_id())
        writer.add_pad_token_id(self.processor.pad_id())
        writer.add_add_bos_token(False)
        writer.add_add_eos_token(True)

    def encode(self, text):
        """Ids without `</s>`."""
        return self.processor.encode(text)


class WordPieceVocabulary:
    """BERT's: begins with `[CLS]`, ends with `[SEP]`; written with BERT's marks turned around, as converters do."""

    name = "word_piece"
    size = 400
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

    def __init__(self, cased=False):
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not cased)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        alphabet = list("абвгдежзиклмнопрстуфхцчшщъыьэюя你好世界今日は") + (list("ÄÖÜäöüßéàôêè") if cased else ["ß"])
        trainer = trainers.WordPieceTrainer(vocab_size=self.size, special_tokens=self.special, initial_alphabet=alphabet,
                                            show_progress=False)
        tokenizer.train_from_iterator(SPM_TEXT.splitlines(), trainer)
        self.tokenizer = tokenizer
        self.tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])]
        self.bos, self.eos = self.tokens.index("[CLS]"), self.tokens.index("[SEP]")

    def write(self, writer):
        turned = lambda token: token if token in self.special else token[2:] if token.startswith("##") else "\u2581" + token
        writer.add_tokenizer_model("bert")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([turned(token) for token in self.tokens])
        writer.add_token_types([gguf.TokenType.CONTROL if token in self.special else gguf.TokenType.NORMAL
                                for token in self.tokens])
        writer.add_token_type_count(2)
        writer.add_pad_token_id(0)
        writer.add_unk_token_id(1)
        writer.add_bos_token_id(self.bos)
        writer.add_eos_token_id(self.eos)
        writer.add_sep_token_id(self.eos)
        writer.add_mask_token_id(4)

    def encode(self, text, parse_special=True):
        """Ids without `[CLS]` and `[SEP]`."""
        if not parse_special:
            plain = Tokenizer(self.tokenizer.model)
            plain.normalizer, plain.pre_tokenizer = self.tokenizer.normalizer, self.tokenizer.pre_tokenizer
            return plain.encode(text, add_special_tokens=False).ids
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def write_vocabulary(vocabulary, path, architecture):
    """A GGUF file with a vocabulary and nothing else."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("vocab")
    vocabulary.write(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
