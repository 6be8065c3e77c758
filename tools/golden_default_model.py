#!/usr/bin/env python3
"""Write tests/golden/default_model.json: what transformers computes with the default model's weights in f32.

"greedy": prompts with their token ids, the 48 token ids that greedy decoding adds (end tokens are not obeyed) and, at
each step, the margin between the best and the second-best logit. "logits": fixed token sequences with, at some
positions, the 16 best ids, their logits, and the log-sum-exp of all logits: enough to bound the KL divergence from
below, taking everything else as one outcome.
"""

import argparse
import json
import pathlib

import numpy as np

import reference

STEPS, BEST = 48, 16

PLAIN = {
    "english": "The old lighthouse keeper climbed the stairs every evening because",
    "code": "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
    "french": "La ville de Paris est la capitale de",
}
CHAT = {
    "chat_english": "Explain in two sentences why the sky is blue.",
    "chat_code": "Write a Python function that reverses a string.",
    "chat_spanish": "¿Cuál es la capital de España?",
}
SEQUENCES = {
    "story": "Once upon a time, in a small village by the sea, there lived a girl who collected stones. Every morning "
             "she walked along the beach before the sun was up, and every evening she sorted what she had found by colour.",
    "list": "Shopping list:\n- 2 apples\n- 10 eggs\n- 1 bottle of milk (3.5%)\n- bread, butter & cheese\n\nTotal: $23.75",
    "rust": "fn main() {\n    let numbers = vec![1, 2, 3];\n    for number in &numbers {\n        println!(\"{}\", number);\n    }\n}\n",
    "unicode": "Grüße aus München! Das Wetter ist schön: 25°C. 今日はいい天気ですね。 Привет, мир 🌍",
}


def greedy(model, ids):
    """Token ids and margins of STEPS greedy steps after `ids`."""
    import torch
    chosen, margins, cache = [], [], None
    step = torch.tensor([ids])
    with torch.inference_mode():
        for _ in range(STEPS):
            output = model(step, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            best = output.logits[0, -1].topk(2)
            chosen.append(int(best.indices[0]))
            margins.append(round(float(best.values[0] - best.values[1]), 4))
            step = best.indices[:1].reshape(1, 1)
    return chosen, margins


def best_of(row, position):
    """One position's best ids and logits, with the log-sum-exp of the whole row."""
    order = np.argsort(-row, kind="stable")[:BEST]
    highest = float(row.max())
    log_sum_exp = highest + float(np.log(np.exp(row.astype(np.float64) - highest).sum()))
    return {"position": position, "log_sum_exp": float(f"{log_sum_exp:.6g}"), "ids": order.tolist(),
            "logits": [float(f"{value:.6g}") for value in row[order]]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reference.model_argument(parser)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/default_model.json")
    arguments = parser.parse_args()
    tokenizer, model = reference.load_tokenizer(arguments.model), reference.load_model(arguments.model)
    template = reference.metadata(arguments.model)["tokenizer.chat_template"]

    prompts = dict(PLAIN)
    for name, question in CHAT.items():
        messages = [{"role": "user", "content": question}]
        prompts[name] = reference.render_chat(template, messages, add_generation_prompt=True)

    lines = []
    for name, prompt in prompts.items():
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        chosen, margins = greedy(model, ids)
        text = tokenizer.decode(chosen, skip_special_tokens=False)
        print(f"--- {name}: {text!r}")
        lines.append({"name": name, "prompt": prompt, "prompt_ids": ids, "ids": chosen, "text": text, "margins": margins})

    sequences = []
    for name, text in SEQUENCES.items():
        ids = tokenizer.encode(text, add_special_tokens=False).ids[:64]
        rows = reference.logits(model, ids)
        positions = np.linspace(0, len(ids) - 1, 8).round().astype(int).tolist()
        print(f"--- {name}: {len(ids)} tokens, positions {positions}")
        sequences.append({"name": name, "ids": ids, "positions": [best_of(rows[p], p) for p in positions]})

    document = ('{"greedy": [\n' + ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
                + '\n],\n"logits": [\n' + ",\n".join(json.dumps(entry) for entry in sequences) + "\n]}\n")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(document)
    print(f"{arguments.out}: {len(document.encode())} bytes")


if __name__ == "__main__":
    main()
