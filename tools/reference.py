"""What the other scripts share: the reference model, tokenizer and template of a GGUF file, all through Hugging Face.

Not a script of its own. Needs: torch, transformers, accelerate, gguf, tokenizers.
"""

import os
import pathlib

import numpy as np
from gguf import GGUFReader

DEFAULT_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTROL = 3  # the value of tokenizer.ggml.token_type


def model_argument(parser):
    """Add --model, by default $DINO_MODEL."""
    parser.add_argument("--model", type=pathlib.Path, default=os.environ.get("DINO_MODEL"),
                        help=f"path of {DEFAULT_MODEL}; default: $DINO_MODEL", required="DINO_MODEL" not in os.environ)


def metadata(path):
    """The metadata of a GGUF file as a dict."""
    return {key: field.contents() for key, field in GGUFReader(path).fields.items()}


def load_model(path):
    """The model with its weights dequantized to f32."""
    import torch
    from transformers import AutoModelForCausalLM
    path = pathlib.Path(path)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    return model.eval()


def load_tokenizer(path, parse_special=True):
    """The byte-level tokenizer of a SmolLM2 file, built from its tokens and merges as tokenizer.json of the original has it.

    Built here because transformers' own GGUF conversion leaves out the digit splitting that `tokenizer.ggml.pre =
    smollm` stands for. Without `parse_special` control tokens written in a text are text.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    data = metadata(path)
    assert data["tokenizer.ggml.pre"] == "smollm", data["tokenizer.ggml.pre"]
    tokens, kinds = data["tokenizer.ggml.tokens"], data["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in data["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    if parse_special:
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True)
                                      for token, kind in zip(tokens, kinds) if kind == CONTROL])
    return tokenizer


def render_chat(template, messages, tools=None, **variables):
    """The prompt that transformers' apply_chat_template renders for one conversation."""
    from transformers.utils.chat_template_utils import render_jinja_template
    rendered, _ = render_jinja_template([messages], tools=tools, chat_template=template, **variables)
    return rendered[0]


def logits(model, ids):
    """f32 logits of every position, `[tokens, vocab]`."""
    import torch
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].numpy().astype(np.float32)
