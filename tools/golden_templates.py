#!/usr/bin/env python3
"""Write tests/golden/templates.json: conversations as transformers' apply_chat_template renders them, to the byte.

"templates": the default model's own template and the styles in tools/templates/. "cases": a template's name, messages,
tools and further variables, and either the "output" or the "error" text; "raised" tells an error that the template
raised itself through raise_exception, whose text must come through.
"""

import argparse
import json
import pathlib

import jinja2

import reference

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Get the weather for a <place> & time.",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "City, e.g. Zürich"},
        "days": {"type": "integer", "minimum": 1, "default": 3}}, "required": ["city"]}}}
CLOCK = {"type": "function", "function": {"name": "get_time", "description": "Tell the time.",
                                          "parameters": {"type": "object", "properties": {}}}}


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


CONVERSATIONS = {
    "one": [turn("user", "Hello!")],
    "system": [turn("system", " Be brief. "), turn("user", "Hi  "), turn("assistant", "\nHello.\n"), turn("user", "你好 🌍 <b>&amp;</b>\n\n")],
    "answered": [turn("user", "2+2?"), turn("assistant", "4")],
    "thinking": [turn("user", "Why?"), turn("assistant", "<think>\nBecause.\n</think>\n\nSo."), turn("user", "And?"),
                 turn("assistant", "<think>Hm</think>Yes.")],
    "wrong_order": [turn("user", "a"), turn("user", "b")],
    "tool_use": [turn("user", "Weather in Zürich?"),
                 turn("assistant", None, tool_calls=[call("get_weather", {"city": "Zürich", "days": 2, "exact": True, "unit": None}, id="abcdef123")]),
                 turn("tool", "{\"celsius\": 21.5}", name="get_weather"), turn("assistant", "It is 21.5 °C."), turn("user", "Thanks")],
    "two_tools": [turn("system", "Use tools."), turn("user", "Time and weather?"),
                  turn("assistant", "Let me look.", tool_calls=[call("get_time", {}, id="aaaaaaaa1"), call("get_weather", {"city": "Bern"}, id="aaaaaaaa2")]),
                  turn("tool", "12:00"), turn("tool", "rain")],
    "padded": [turn("user", " \t padded\n "), turn("assistant", "ok"), turn("user", "more")],
}
ENDS = {"bos_token": "<s>", "eos_token": "</s>"}
DATA = {"zeta": 1, "alpha": ["é", "<&>", "a'b"], "none": None, "flag": True, "ratio": 1.0, "small": 1e-07, "nested": {"b": {}, "a": []}}
BOTH = [WEATHER, CLOCK]
# Template, conversation, tools, variables.
CASES = [
    *[("default_model", name, None, {}) for name in ("one", "system", "answered", "wrong_order")],
    ("default_model", "one", None, {"add_generation_prompt": True}),
    ("default_model", "system", None, {"add_generation_prompt": True}),
    ("chatml", "system", None, {"add_generation_prompt": True}), ("chatml", "answered", None, {}),
    ("llama2", "one", None, ENDS), ("llama2", "system", None, ENDS), ("llama2", "wrong_order", None, ENDS),
    ("llama3_tools", "one", None, {**ENDS, "today": "01 Jan 2026", "add_generation_prompt": True}),
    ("llama3_tools", "system", None, {**ENDS, "today": "01 Jan 2026"}),
    ("llama3_tools", "tool_use", BOTH, {**ENDS, "today": "01 Jan 2026", "add_generation_prompt": True}),
    ("llama3_tools", "tool_use", None, {**ENDS, "today": "x", "builtin_tools": ["code_interpreter", "get_weather"]}),
    ("llama3_tools", "two_tools", BOTH, {**ENDS, "today": "x"}),
    ("mistral_tools", "system", None, ENDS), ("mistral_tools", "tool_use", BOTH, ENDS),
    ("mistral_tools", "two_tools", [CLOCK], ENDS), ("mistral_tools", "wrong_order", None, ENDS),
    ("gemma", "one", None, {**ENDS, "add_generation_prompt": True}), ("gemma", "padded", None, ENDS), ("gemma", "system", None, ENDS),
    ("qwen_tools", "one", None, {"add_generation_prompt": True}),
    ("qwen_tools", "one", None, {"add_generation_prompt": True, "enable_thinking": False}),
    ("qwen_tools", "thinking", None, {}), ("qwen_tools", "system", BOTH, {"add_generation_prompt": True}),
    ("qwen_tools", "tool_use", BOTH, {"add_generation_prompt": True}), ("qwen_tools", "two_tools", BOTH, {"add_generation_prompt": True}),
    ("deepseek", "thinking", None, {**ENDS, "add_generation_prompt": True}), ("deepseek", "system", None, ENDS),
    ("loop_controls", "system", None, {"add_generation_prompt": True}), ("loop_controls", "thinking", None, {"max_messages": 2}),
    ("pycompat", "padded", None, {"data": DATA}), ("tojson", "one", None, {"data": DATA}), ("python_values", "one", None, {"data": DATA}),
    ("strftime", "one", None, {}), ("attribute_of_undefined", "one", None, {}),
]


def render(template, messages, tools, variables):
    """The outcome fields of one case."""
    try:
        return {"output": reference.render_chat(template, messages, tools=tools, **variables)}
    except Exception as error:
        return {"error": str(error), "raised": type(error) is jinja2.exceptions.TemplateError}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reference.model_argument(parser)
    parser.add_argument("--out", type=pathlib.Path, default="tests/golden/templates.json")
    arguments = parser.parse_args()

    templates = {"default_model": reference.metadata(arguments.model)["tokenizer.chat_template"]}
    for path in sorted((pathlib.Path(__file__).parent / "templates").glob("*.jinja")):
        templates[path.stem] = path.read_text()
    cases = []
    for name, conversation, tools, variables in CASES:
        messages = CONVERSATIONS[conversation]
        case = {"template": name, "messages": messages, "tools": tools, "variables": variables}
        cases.append(case | render(templates[name], messages, tools, variables))
    texts = ",\n".join(f"{json.dumps(name)}: {json.dumps(text)}" for name, text in templates.items())
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(f'{{"templates": {{\n{texts}\n}},\n"cases": [\n{lines}\n]}}\n')
    print(f"{arguments.out}: {len(cases)} cases, {sum('error' in case for case in cases)} of them errors")


if __name__ == "__main__":
    main()
