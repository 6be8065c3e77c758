"""The two vocabularies of the tiny models: one byte-level BPE (gpt2 type), one SentencePiece (llama type).

Not a script of its own. Each class writes itself into a GGUF file as llama.cpp's converter does and encodes text
through the library that defines its type (`tokenizers`, `sentencepiece`).
"""

import io

import gguf
import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

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
