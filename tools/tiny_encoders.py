#!/usr/bin/env python3
"""Write tests/golden/tiny_encoders/: tiny random encoders as GGUF and as folders, and the features that transformers gives
texts.

Each file has the tensor names and metadata keys that llama.cpp's converter writes, and a WordPiece vocabulary. The folder
NAME is what transformers saves, with the files of sentence-transformers around it, whose library is not needed.
`index.json` lists the files with texts and their ids; `NAME.f32` holds the last hidden state of each token of each text,
little-endian f32 `[tokens of all texts, hidden]`.
"""

import argparse
import json
import math
import pathlib

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from transformers import AutoConfig, AutoModel

from tiny_models import write_folder
from tiny_tokenizers import WordPieceVocabulary

F16, F32 = gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.F32
TEXTS = ["The quick brown fox jumps over the lazy dog.", "the", "", "In the morning they went together to the market, and in "
         "the evening they came home with bread, cheese and apples.", "Über den Dächern schien die Sonne"]
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "max_position_embeddings": 64, "attn_implementation": "eager"}
CLS, MEAN = gguf.PoolingType.CLS, gguf.PoolingType.MEAN
PAD_ONE = {"pad_token_id": 1, "type_vocab_size": 1, "max_position_embeddings": 66}
ENCODERS = {
    "bert": ("bert", {"type_vocab_size": 2}, CLS),
    # What all-MiniLM-L6-v2 says, but smaller: 12 heads of as many layers, an epsilon of 1e-12.
    "minilm": ("bert", {"hidden_size": 48, "num_attention_heads": 12, "num_hidden_layers": 6, "intermediate_size": 96}, MEAN),
    "roberta": ("roberta", PAD_ONE, MEAN),
    "xlm-roberta": ("xlm-roberta", PAD_ONE, CLS),
    "distilbert": ("distilbert", {"hidden_size": None, "intermediate_size": None, "num_attention_heads": None,
                                  "num_hidden_layers": None, "dim": 32, "hidden_dim": 48, "n_heads": 4, "n_layers": 2}, MEAN),
    "nomic-bert": ("nomic_bert", {"rope_parameters": {"rope_type": "default", "rope_theta": 1000.0}}, MEAN),
}
NOMIC = {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
         "post_attention_layernorm": "attn_output_norm", "post_mlp_layernorm": "layer_output_norm"}


def random_model(kind, changes, vocabulary, seed):
    sizes = {key: value for key, value in ({"pad_token_id": 0} | SIZES | changes).items() if value is not None}
    config = AutoConfig.for_model(kind, vocab_size=len(vocabulary.tokens), **sizes)
    pooler = {} if kind == "distilbert" else {"add_pooling_layer": False}
    model = AutoModel.from_config(config, **pooler).float().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(1 + 0.2 * noise)
            else:
                values = (noise * (1.5 / math.sqrt(parameter.shape[1]))).numpy()
                parameter.copy_(torch.from_numpy(dequantize(quantize(values, F16), F16)))
    return model


def tensors(name, model):
    """GGUF names and values."""
    values = {key: parameter.detach().numpy() for key, parameter in model.named_parameters()}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.NOMIC_BERT if name == "nomic-bert" else gguf.MODEL_ARCH.BERT, 8)
    for key, value in values.items():
        stem, suffix = key.rsplit(".", 1)
        if stem == "embeddings.position_embeddings":
            # Positions up to the padding token's belong to no token.
            value = value[model.config.pad_token_id + 1:] if "roberta" in name else value
        if name == "nomic-bert" and stem.startswith("layers."):
            _, layer, part = stem.split(".", 2)
            if part == "self_attn.q_proj":
                parts = [values[f"layers.{layer}.self_attn.{p}_proj.weight"] for p in "qkv"]
                yield f"blk.{layer}.attn_qkv.weight", np.concatenate(parts)
            elif part not in ("self_attn.k_proj", "self_attn.v_proj"):
                yield f"blk.{layer}.{NOMIC[part]}.{suffix}", value
        else:
            yield names.get_name(key, (".weight", ".bias")), value


def write(name, folder):
    kind, changes, pooling = ENCODERS[name]
    vocabulary = WordPieceVocabulary()
    model = random_model(kind, changes, vocabulary, sum(name.encode()))
    config = model.config
    writer = gguf.GGUFWriter(folder / f"{name}.gguf", "nomic-bert" if name == "nomic-bert" else "bert")
    writer.add_type("model")
    writer.add_name(f"tiny {name}")
    unused = config.pad_token_id + 1 if "roberta" in name else 0
    writer.add_context_length(config.max_position_embeddings - unused)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", None) or config.hidden_dim)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(getattr(config, "layer_norm_eps", 1e-12))
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    if name == "nomic-bert":
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    vocabulary.write(writer)
    for tensor, value in tensors(name, model):
        precise = value.ndim < 2 or tensor in ("position_embd.weight", "token_types.weight")
        writer.add_tensor(tensor, quantize(np.ascontiguousarray(value), F32 if precise else F16), raw_dtype=F32 if precise else F16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save(model, name, pooling, folder / name)
    entries, features = [], []
    for text in TEXTS:
        ids = [vocabulary.bos] + vocabulary.encode(text, False) + [vocabulary.eos]
        with torch.inference_mode():
            features.append(model(torch.tensor([ids])).last_hidden_state[0].numpy())
        entries.append({"text": text, "ids": ids})
    (folder / f"{name}.f32").write_bytes(np.concatenate(features).astype("<f4").tobytes())
    return {"name": name, "class": type(model).__name__, "pooling": pooling.name.lower(), "texts": entries}


def save(model, name, pooling, folder):
    """The folder, as sentence-transformers lays it out; bert's vectors are not normalised."""
    write_folder(model, folder)
    kinds = ["Transformer", "Pooling"] + ["Normalize"] * (name != "bert")
    modules = [{"idx": index, "name": str(index), "path": f"{index}_{kind}" if index else "",
                "type": f"sentence_transformers.models.{kind}"} for index, kind in enumerate(kinds)]
    modes = {"cls_token": pooling == CLS, "mean_tokens": pooling == MEAN, "max_tokens": False, "mean_sqrt_len_tokens": False}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    files = {"modules.json": modules, "1_Pooling/config.json": {"word_embedding_dimension": model.config.hidden_size} | {
        f"pooling_mode_{mode}": value for mode, value in modes.items()},
        "sentence_bert_config.json": {"max_seq_length": 48, "do_lower_case": False}}
    for path, content in files.items():
        (folder / path).write_text(json.dumps(content, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/tiny_encoders")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    entries = [json.dumps(write(name, folder)) for name in ENCODERS]
    (folder / "index.json").write_text("[\n" + ",\n".join(entries) + "\n]\n")
    print(f"{folder}: {sum(path.stat().st_size for path in folder.iterdir())} bytes")


if __name__ == "__main__":
    main()
