#!/usr/bin/env python3
"""Write tests/golden/jinja.json: small templates and what Jinja prints for them, set up as transformers sets it up.

Each entry is a pair of source and output; the output of a template that fails begins with "!error".
"""

import json
import pathlib

from transformers.utils.chat_template_utils import _compile_jinja_template

VARIABLES = {
    "text": " Hello, wörld! ", "empty": "", "number": 7, "ratio": 2.5, "flag": True, "nothing": None,
    "items": [3, 1, 2], "names": ["b", "A", "c"], "nested": {"b": [1, {"x": None}], "a": "it's \"so\"\n"},
    "people": [{"name": "Ann", "age": 31, "tags": ["x"]}, {"name": "bob", "age": 25}, {"name": "Cid", "age": 31}],
    "schema": {"type": "object", "items": {"type": "string"}, "keys": 1, "properties": {"items": {"type": "array"}}},
}
EXPRESSIONS = r"""
1 + 2 * 3 - 4 // 3 | (1 + 2) * 3 | 7 / 2 | -7 // 2 | -7 % 3 | 7 % -3 | 2 ** 10 | 2 ** -1 | 7.5 // 2 | 7.5 % 2 | -7.5 % 2 | 1e3 | 1_000 | 10 / 5
1 + True | 3 * 'ab' | 'ab' * 0 | [1, 2] * 2 | [1] + [2] | (1,) + (2,) | 'a' 'b' | 'a' + 'b' | 'a' + 1 | 1 / 0 | 1 // 0 | -number | +ratio | - 2 ** 2
1 < 2 < 3 | 1 < 2 > 3 | 1 == 1.0 | True == 1 | 'a' < 'b' | [1, 2] < [1, 3] | 'a' < 1 | 1 != 2 | not 1 == 2 | nothing == none | {} == {} | {'a': 1} == {'a': 1.0} | (1, 2) == [1, 2]
'ell' in text | 1 in items | 9 not in items | 'a' in nested | 1 in 'abc' | not 1 in items | missing in items | 1 in missing
flag and empty | empty or 'x' | not empty | nothing and 1 | 0 or none or [] | 'a' if flag else 'b' | 'a' if empty | 'a' if empty else 'b' if nothing else 'c'
number ~ ratio ~ flag ~ nothing ~ missing | [1, 'a', none, true, 1.5] | (1,) | () | (1, 'x') | {'a': [1], 2: none} | nested | 'quote\'s "both"' | ["it's", 'say "hi"', 'tab\t', 'é', '\x00', '\u2028']
1e16 | 1e15 | 123456789012345680.0 | 0.0001 | 0.00001 | 1.5e-7 | 1e300 * 1e300 | 0.1 + 0.2 | 100.0 | 1/3 | -0.0
text.strip() | text.lstrip() | text.rstrip() | 'xxaxx'.strip('x') | 'abcab'.strip('ba') | 'a b  c'.split() | 'a b  c'.split(' ') | 'a,b,c'.split(',', 1) | 'a,b,c'.rsplit(',', 1) | ' a b c '.split(None, 1) | ' a b c '.rsplit(none, 1) | 'abc'.split('') | ''.split() | ''.split(',') | 'a,b'.split(sep=',')
'a\nb\r\nc\n'.splitlines() | 'a\nb\n'.splitlines(true) | 'a=b=c'.partition('=') | 'a=b=c'.rpartition('=') | 'abc'.partition('x') | 'abc'.rpartition('x') | 'abc'.removeprefix('a') | 'abc'.removesuffix('bc')
'abcabc'.replace('b', 'X') | 'abcabc'.replace('b', 'X', 1) | 'abc'.replace('', '-') | 'abc'.startswith('ab') | 'abc'.startswith(('x', 'a')) | 'abc'.endswith(('x', 'c')) | 'wörld'.find('l') | 'abc'.rfind('c') | 'abc'.find('x') | 'abc'.index('x') | 'abab'.count('ab') | ','.join(['a', 'b']) | ','.join('abc') | ','.join([1])
'hello wORLD'.title() | "they're bill's".title() | 'hELLO'.capitalize() | 'ß'.upper() | 'ÀB'.lower() | 'aB'.swapcase() | 'abc'.isalpha() | '12'.isdigit() | 'a1'.isalnum() | '  '.isspace() | ''.isalpha() | 'AB'.isupper() | 'ab1'.islower() | 'é'.isascii()
'7'.zfill(3) | '-7'.zfill(4) | 'ab'.center(5) | 'ab'.center(6, '*') | 'abc'.center(6) | 'ab'.ljust(4) ~ '|' | 'ab'.rjust(4, '.') | '{} and {}'.format(1, 'b') | '{1}{0}'.format('a', 'b') | '{a}-{b}'.format(a=1, b=none) | '{{}}{}'.format(1) | '{:.2f}'.format(3.14159) | '{:>5}'.format('ab') | '{:05d}'.format(42) | '{'.format(1) | '{}'.format()
'%s-%d' % ('a', 3) | '%.2f%%' % 1.005 | '%5d|%-5d|' % (1, 2) | '%s' % 'x' | '%s' % [1] | '%x' % 255 | '%s %s' % ('a',) | 'a%sb'|format('X') | '%r' % 'q' | '%03d' % 7
text[0] | text[-2] | 'abc'[1:] | 'abc'[:-1] | 'abc'[::-1] | 'abcdef'[4:1:-2] | 'abc'[5:] | 'wörld'[1] | items[0] | items[-1] | items[9] | items[:2] | items[::-1] | items[1:][0] | (1, 2, 3)[1:] | nested['b'] | nested.b[1].x | nested['b'][1]['x'] | nested.missing | nested.missing.more | missing.x | missing[0] | nothing.x | 'abc'[none:2] | 'abc'[::0]
schema.items()|list | schema['items'] | schema.properties['items'] | schema.properties.items()|list | schema.keys()|list | schema['keys'] | schema.values()|list | schema.get('type') | schema.get('nope') | schema.get('nope', 1) | nested.items()|list | nested.keys()|list | nested.pop('a') | items.append(1) | items.index(1) | items.count(3) | nested.copy() | nested.nope()
items|length | text|length | nested|length | number|length | missing|length | items|first | items|last | []|first | 'abc'|first | items|sort | names|sort | names|sort(case_sensitive=true) | items|sort(reverse=true) | people|sort(attribute='age')|map(attribute='name')|list | items|max | items|min | names|max | items|sum | people|sum(attribute='age') | items|reverse|list | 'abc'|reverse | items|join('-') | people|join(', ', attribute='name') | items|join | 'abc'|join('-')
people|map(attribute='tags')|list | people|map(attribute='tags', default=0)|list | people|map(attribute='tags.0', default='-')|list | names|map('upper')|list | names|map('replace', 'b', 'x')|list | people|selectattr('age', 'equalto', 31)|map(attribute='name')|list | people|rejectattr('tags', 'defined')|list|length | people|selectattr('tags')|list|length | items|select('odd')|list | items|reject('greaterthan', 1)|list | items|select('in', [1, 2])|list | [0, 1, '']|select|list
[1, 1, 2, 'a', 'A']|unique|list | people|groupby('age')|length | [1, 2, 3, 4, 5]|batch(2)|list | [1, 2, 3]|batch(2, 0)|list | nested|dictsort | {'b': 1, 'A': 2}|dictsort | {'b': 1, 'a': 2}|dictsort(by='value') | nested|items|list | nested|list | 'abc'|list | missing|list | 5|list
missing|default('d') | empty|default('d') | empty|default('d', true) | nothing|default('d') | nothing|d('d', true) | missing.x|default('d') | nested.x|default('d') | text|trim | 'xax'|trim('x') | text|upper | text|lower | 'foo bar-baz (qux)'|title | 'fOO'|capitalize | 'aab'|replace('a', 'x') | 'aab'|replace('a', 'x', 1) | 'a\nb\n\nc'|indent | 'a\nb'|indent(2, true) | 'a\n\nb'|indent(1, blank=true) | 'a\nb'|indent('> ') | '<a href="x">&\'</a>'|e | 'x'|safe | 'ab'|center(6) | 'one two  three'|wordcount | 'a b/ü'|urlencode
'42'|int | '4x'|int | '4x'|int(7) | 3.9|int | -3.9|int | '3.7'|int | true|int | '2.5'|float | 'x'|float | 3|float | -5|abs | -2.5|abs | 2.5|round | 3.5|round | 2.675|round(2) | 1234.5|round(-2) | 2.1|round(method='ceil') | 2.9|round(0, 'floor') | 3|round | 1|string ~ 'x' | none|string | nested|string
nested|tojson | nested|tojson(indent=2) | items|tojson(indent=4) | [[], {}]|tojson(indent=2) | {'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true) | 'é<>&\''|tojson | 'é😀'|tojson(ensure_ascii=true) | {'a': 1}|tojson(separators=(',', ':')) | (1, 2)|tojson | {1: 2, none: 3, true: 4}|tojson | 1e-7|tojson | 1e20|tojson | missing|tojson | [1, [2]]|tojson(indent='\t') | {'a': []}|tojson(indent=1, separators=(' ,', ' : ')) | '\x7f\x1f\u2028'|tojson
missing is defined | text is defined | nothing is none | flag is boolean | flag is number | flag is integer | number is integer | ratio is float | ratio is number | text is string | nested is mapping | items is mapping | items is sequence | text is sequence | nested is sequence | number is sequence | text is iterable | number is iterable | items is iterable | nested is iterable | missing is iterable | missing is undefined | 4 is even | 4 is odd | 9 is divisibleby 3 | 9 is divisibleby(2) | 'a' is in 'abc' | 1 is eq 1 | 1 is sameas true | 'a' is lower | 'A' is upper | flag is true | flag is false | none is not none | number is not string and flag | range is callable | text is callable | text is nosuchtest | text|nosuchfilter
range(3)|list | range(1, 4)|list | range(5, 0, -2)|list | range(0)|list | dict(a=1, b=2) | dict({'a': 1}, b=2) | dict([('a', 1)]) | namespace(a=1).a | nosuchfunction() | text() | raise_exception('x') | (items|length) + 1 | items|length + 1 | items | 'a' is string | [1, 2,] | {'a': 1,} | -items[0] | -3|abs | not items is none | 'a' ~ 1 + 2 | 1 ~ 2 * 3 | items.0 | nested.b.0
""".strip()
STATEMENTS = [
    "{% for x in items %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }},{{ x }};{% endfor %}",
    "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in missing %}a{% else %}none{% endfor %}", "{% for x in nothing %}{% endfor %}",
    "{% for k, v in nested.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in nested %}{{ k }}{% endfor %}", "{% for a, b in [[1, 2], [3]] %}{% endfor %}",
    "{% for x in items if x > 1 %}{{ loop.index0 }}{{ x }}{{ loop.previtem }}{{ loop.nextitem }}{% endfor %}",
    "{% for x in items %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}",
    "{% for x in items %}{% for y in items %}{{ loop.depth }}{{ x * y }} {% endfor %}{% endfor %}", "{% for c in 'abc' %}{{ loop.cycle('x', 'y') }}{{ c }}{% endfor %}",
    "{% for x in 1, 2 %}{{ x }}{% endfor %}", "{% for x in items %}{{ loop }}{% endfor %}", "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% set x = 1 %}{% for i in items %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}", "{% set ns = namespace(n=0) %}{% for i in items %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set x %}a{{ number }}b{% endset %}{{ x }}", "{% set x | upper %}ab{% endset %}{{ x }}",
    "{% set x = 1, 2 %}{{ x }}", "{{ 1, 2 }}", "{% set text.x = 1 %}", "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "{% filter upper %}ab{{ text }}{% endfilter %}",
    "{% macro m(a, b='d', c=none) %}[{{ a }}|{{ b }}|{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 2, c=3) }}{{ m(b=5) }}{{ m }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(z=2) }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% set g = 'glob' %}{% macro m() %}{{ g }}{{ number }}{% endmacro %}{% for g in [1] %}{{ m() }}{% endfor %}",
    "{% if empty %}a{% elif number %}b{% else %}c{% endif %}", "{% if 0 %}a{% endif %}b", "{% raw %}{{ a }} {% b %}{% endraw %}c", "a {%- raw -%} {{ a }} {%- endraw -%} b",
    "a\n{% if true %}\nb\n{% endif %}\nc\n", "a\n  {% if true %}  \n  b\n  {% endif %}  c\n", "a {{- 1 -}} b", "a\n {{ 1 }}\n b", "a  {%- if true -%}  b  {%- endif -%}  c", "  {%+ if true %} a{% endif %}",
    "{% if true +%}\na{% endif %}", "a {# c #} b", "a\n  {# c #}\nb", "a {#- c -#} b", "x\r\ny\rz\n\n", "\n\na\n", "{{ 'a\\nb\\t\\'c\\\\ \\u00e9 \\x41 \\q' }}", "{% set x = {'a': {'b': 1}} %}{{ x.a.b }}{{ {'a': {}} }}",
    "{% generation %}a{% set q = 1 %}{% endgeneration %}{{ q }}", "{%- for m in people -%}\n{{ m.name }}\n{%- if not loop.last %}, {% endif -%}\n{%- endfor %}", "{% break %}", "{{ a", "{% if %}", "{{ 'a' if true }}{{ 'b' if false }}|",
    "{{ strftime_now('%%') }}", "{% set ns = namespace() %}{{ ns.x is defined }}{% set ns.x = [1] %}{{ ns.x }}", "{{ loop }}", "{% set loop = 1 %}", "{% for x in items %}{% endfor %}{{ x }}", "{{ nested.b[0] ~ nested['a'] }}",
    "{% for x in people|sort(attribute='name') %}{{ x.name }}{% endfor %}", "{{ people|map(attribute='name')|join(',')|upper }}", "{%- set ns = namespace(a=1, b=[]) -%}{%- set ns.b = ns.b + [ns.a] -%}{{ ns.b }}",
    "{% for key, group in people|groupby('age') %}{{ key }}:{{ group|length }};{% endfor %}", "{% if text is string and 'wör' in text %}y{% endif %}", "{% if items[0] is defined and items[5] is not defined %}y{% endif %}",
]


def output(source):
    try:
        return _compile_jinja_template(source).render(**json.loads(json.dumps(VARIABLES)))
    except Exception as error:
        return f"!error {type(error).__name__}: {error}"


def main():
    sources = ["{{ " + part.strip() + " }}" for line in EXPRESSIONS.splitlines() for part in line.split(" | ")] + STATEMENTS
    folder = pathlib.Path("tests/golden")
    pairs = ",\n".join(json.dumps([source, output(source)], ensure_ascii=True) for source in sources)
    (folder / "jinja.json").write_text(f"[\n{pairs}\n]\n")
    (folder / "jinja_variables.json").write_text(json.dumps(VARIABLES, indent=1) + "\n")
    print(len(sources), "cases")


if __name__ == "__main__":
    main()
