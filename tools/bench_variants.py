#!/usr/bin/env python3
"""Measure prompts and generation of several files, or modes of one, in turn: tokens a second of the example `bench`.

Each round runs every file once; the best round of each counts. --processor-time divides by the time that the processor
spent instead of the time that passed, by one thread, without loading: for a machine that others use, where that is good to
a third, no better, for they use the memory too. A mode follows its file:

    bench_variants.py q8_0.gguf "q8_0.gguf --int8 dynamic" wanda-0.5.gguf --rounds 5
    bench_variants.py --processor-time *.gguf

Needs nothing but Python.
"""

import argparse
import json
import pathlib
import resource
import subprocess


def bench(arguments, variant, *more):
    """What the example reports, and the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [arguments.bench, "--json", "--model", *variant.split(), *map(str, more)]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return report, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def processor_rate(arguments, variant, tokens, *what):
    """Tokens for a second of one thread: what three more runs take more."""
    few, many = (bench(arguments, variant, "-t", 1, "-r", runs, *what)[1] for runs in (1, 4))
    return 3 * tokens / max(many - few, 1e-9)


def rates(arguments, variant):
    if arguments.processor_time:
        return (processor_rate(arguments, variant, arguments.prompt, "-p", arguments.prompt, "-n", 0),
                processor_rate(arguments, variant, arguments.generate, "-p", 0, "-n", arguments.generate))
    report, _ = bench(arguments, variant, "-r", 1, "-p", arguments.prompt, "-n", arguments.generate)
    return report["pp_tokens_per_second"] or 0, report["tg_tokens_per_second"] or 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="+", metavar="FILE [OPTIONS]")
    parser.add_argument("--bench", default="target/release/examples/bench", help="the built example")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-p", "--prompt", type=int, default=512)
    parser.add_argument("-n", "--generate", type=int, default=128)
    parser.add_argument("--processor-time", action="store_true")
    arguments = parser.parse_args()
    best = {variant: (0, 0) for variant in arguments.variants}
    for _ in range(arguments.rounds):
        for variant in arguments.variants:
            best[variant] = tuple(map(max, best[variant], rates(arguments, variant)))
    print(f"| file | pp{arguments.prompt} | tg{arguments.generate} |\n|---|--:|--:|")
    for variant, (prompt, generation) in best.items():
        name = " ".join(pathlib.Path(part).stem if part.endswith(".gguf") else part for part in variant.split())
        print(f"| {name} | {prompt:.0f} | {generation:.1f} |")


if __name__ == "__main__":
    main()
