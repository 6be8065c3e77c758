#!/usr/bin/env python3
"""Write tests/golden/tiny_architectures/sweep.json: what transformers makes of each tiny folder when one key of its
config.json is missing or says something else.

`{model: {key: [[value, outcome], …]}}`, where `null` means that the key is missing. An outcome is `same` (the logits of the last token
are those of the untouched model), `refused` (transformers gives an error, or weights are missing or of another shape), or
the first logits of the last token.
"""

import argparse
import copy
import json
import logging
import pathlib
import tempfile
import warnings

import torch
from transformers import AutoModelForCausalLM

# Which model it is, who wrote it, and what is not the forward pass.
LEFT_OUT = {"architectures", "dtype", "model_type", "transformers_version", "bos_token_id", "eos_token_id"}
LOGITS = 4


def leaves(config, path=()):
    for key, value in config.items():
        if isinstance(value, dict) and "__float__" not in value:
            yield from leaves(value, path + (key,))
        elif path + (key,) not in ((name,) for name in LEFT_OUT):
            yield path + (key,), value


def changes(value):
    """Other values of the same kind."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, 2 * value]
    if isinstance(value, float):
        return [2 * value + 0.25]
    if isinstance(value, str):
        return ["other"]
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [value[::-1], value[:-1]]
    if isinstance(value, list) and value:
        return [[2 * entry if isinstance(entry, float) else entry for entry in value], value[:-1]]
    return [True] if value is None else []


def changed(config, path, value):
    """The configuration with a key set to `value`, or without it."""
    config = copy.deepcopy(config)
    place = config
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return config


def logits(folder, ids):
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    if any(info[key] for key in ("missing_keys", "mismatched_keys", "error_msgs")) or info["unexpected_keys"]:
        raise ValueError("weights do not fit")
    with torch.inference_mode():
        return model.eval()(torch.tensor([ids]), use_cache=False).logits[0, -1]


def outcome(folder, ids, untouched):
    try:
        found = logits(folder, ids)
    except Exception:
        return "refused"
    if found.shape != untouched.shape or not torch.isfinite(found).all():
        return "refused"
    if (found - untouched).abs().max() <= 1e-6 * untouched.abs().max():
        return "same"
    return [round(value, 5) for value in found[:LOGITS].tolist()]


def sweep(entry, folder):
    config = json.loads((folder / "config.json").read_text())
    found = {}
    if "quantization_config" in config:
        return found  # transformers reads these in bf16 alone; the same model without is swept
    with tempfile.TemporaryDirectory() as copied:
        copied = pathlib.Path(copied)
        for path in folder.iterdir():
            (copied / path.name).symlink_to(path.resolve())
        (copied / "config.json").unlink()
        (copied / "config.json").write_text(json.dumps(config))
        untouched = logits(copied, entry["ids"])
        for path, value in leaves(config):
            for other in [None] * (value is not None) + changes(value):
                (copied / "config.json").write_text(json.dumps(changed(config, path, other)))
                case = [other, outcome(copied, entry["ids"], untouched)]
                found.setdefault(".".join(path), []).append(case)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, default="tests/golden/tiny_architectures")
    parser.add_argument("--only", nargs="*", help="these models alone; what is known of others is kept")
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    path = arguments.models / "sweep.json"
    known = json.loads(path.read_text()) if arguments.only else {}
    found = {}
    for entry in json.loads((arguments.models / "index.json").read_text()):
        folder = arguments.models / entry["name"]
        if not folder.is_dir():
            continue
        if arguments.only and entry["name"] not in arguments.only:
            found[entry["name"]] = known[entry["name"]]
        else:
            found[entry["name"]] = sweep(entry, folder)
    lines = [f"{json.dumps(name)}: {json.dumps(cases, separators=(',', ':'))}" for name, cases in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    changes = sum(len(cases) for keys in found.values() for cases in keys.values())
    print(f"{path}: {changes} changes, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
