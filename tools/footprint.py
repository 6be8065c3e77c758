#!/usr/bin/env python3
"""Measures what Dino-LLM costs a program that links it, and writes docs/footprint.md.

    tools/footprint.py [--model FILE] [--llama FOLDER] [--small]    measures all and writes the page
    tools/footprint.py --check                                       compares crates and size with the page

The program is the one of the README: load a file, generate, print. It is built in an empty folder, as a stranger would
build it. `--check` builds it too, and fails if its size or the number of crates is more than a tenth above the page's.
"""

import argparse
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "footprint.md"
MARGIN = 1.1

MANIFEST = """
[workspace]
[package]
name = "hello"
version = "0.1.0"
edition = "2024"
[dependencies]
dino-llm = {{ path = "{root}" }}
[profile.release]
strip = true
{profile}
"""

PROGRAM = """
use dino_llm::{Generator, Model, SamplingParams};

fn main() -> Result<(), dino_llm::Error> {
    let file = std::env::args().nth(1).expect("a model file");
    let model = Model::load(file)?;
    let params = SamplingParams::greedy().with_max_tokens(1);
    let answer = Generator::new(&model).generate("The capital of France is", &params)?;
    println!("{} {}", answer.text, model.load_time().as_secs_f64());
    Ok(())
}
"""

CHAT = """
use dino_llm::{ChatSession, Model, SamplingParams};

fn main() -> Result<(), dino_llm::Error> {
    let model = Model::load(std::env::args().nth(1).expect("a model file"))?;
    println!("{}", ChatSession::new(&model)?.send("Hello", &SamplingParams::greedy())?.text);
    Ok(())
}
"""

QUANTIZE = """
use dino_llm::dino_models::format::ModelFile;
use dino_llm::dino_quant::plan::{Preset, Rules};
use dino_llm::quantize::{FileQuantizer, tensor_facts};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = ModelFile::open("model-f16.gguf")?;
    let (plan, _) = Rules::new(Preset::Q4_K_M).plan(&tensor_facts(&file));
    FileQuantizer::new(&file, &plan).write("model-q4_k_m.gguf")?;
    Ok(())
}
"""

SMALL = 'lto = "fat"\ncodegen-units = 1\npanic = "abort"\nopt-level = "s"\n[profile.release.package.dino-kernels]\nopt-level = 3'


def cargo(*arguments, cwd, **environment):
    return subprocess.run(["cargo", *arguments], cwd=cwd, check=True, text=True, stdout=subprocess.PIPE,
                          env=os.environ | environment).stdout


def packages(folder, *arguments):
    """How many packages are compiled into a program, itself left out."""
    tree = cargo("tree", "--edges", "normal", "--prefix", "none", "--format", "{p}", *arguments, cwd=folder)
    return len({line.removesuffix(" (*)") for line in tree.splitlines() if line})


class Program:
    """The program of the README, built from nothing, and two others that use more of the library."""

    def __init__(self, folder, profile="codegen-units = 8"):
        bins = folder / "src" / "bin"
        bins.mkdir(parents=True, exist_ok=True)
        for name, source in {"hello": PROGRAM, "chat": CHAT, "quantize": QUANTIZE}.items():
            (bins / f"{name}.rs").write_text(source)
        (folder / "Cargo.toml").write_text(MANIFEST.format(root=ROOT, profile=profile))
        (folder / "Cargo.lock").write_bytes((ROOT / "Cargo.lock").read_bytes())
        self.crates = packages(folder) - 1
        self.seconds = self.build(folder)
        self.path = folder / "target" / "release" / "hello"
        self.size, self.chat, self.quantize = (
            self.path.with_name(name).stat().st_size / 1e6 for name in ("hello", "chat", "quantize"))

    @staticmethod
    def build(folder):
        """Processor seconds of the first build in this folder."""
        note = folder / "target" / "seconds"
        if not note.exists():
            cargo("fetch", "--quiet", cwd=folder)
            before = os.times()
            cargo("build", "--quiet", "--release", "--offline", cwd=folder, CARGO_TARGET_DIR=str(folder / "target"))
            after = os.times()
            note.write_text(str(sum(after[2:4]) - sum(before[2:4])))
        return float(note.read_text())

    def run(self, model):
        """Milliseconds from the start of the process to its end, those of loading, and MB of memory at most."""
        start = time.monotonic()
        process = subprocess.Popen([self.path, model], stdout=subprocess.PIPE, text=True)
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        if status or not text.startswith(" Paris"):
            sys.exit(f"the program failed or gave another text: {text!r}")
        return 1e3 * wall, 1e3 * float(text.split()[-1]), usage.ru_maxrss / 1e3


def median(values):
    return sorted(values)[len(values) // 2]


def processor():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    name = re.search(r"model name\s*: (.*)", text)
    return f"{name[1].strip() if name else platform.machine()}, {os.cpu_count()} processors"


def rivals(llama):
    rows = []
    peers = ROOT / "benches" / "peers"
    for name in ("candle-transformers", "candle-core"):
        rows.append(f"| {name}, as `benches/peers` uses it | {packages(peers, '--package', name)} crates | |")
    if llama:
        files = {file.name: file.stat().st_size for file in sorted(pathlib.Path(llama).glob("*.so"))
                 if re.match(r"lib(llama|ggml[a-z-]*)\.so$", file.name)}
        rows.append(f"| llama.cpp's libraries ({', '.join(files)}) | | {sum(files.values()) / 1e6:.1f} MB |")
    return rows


def smaller(folder):
    """The rows of a program that is made for its size: minutes of compiling."""
    small = Program(folder / "small", profile=SMALL)
    return f"""
| the first one with `lto = "fat"`, one codegen unit, `panic = "abort"`, and `opt-level = "s"` for all but the kernels | {small.size:.2f} MB |
| … its compiler's seconds | {small.seconds:.0f} |"""


def measure(model, llama, runs, folder, small):
    normal = Program(folder / "normal")
    times = [normal.run(model) for _ in range(runs)]
    first, load, memory = (median(column) for column in zip(*times))
    features = {name: packages(ROOT, "--package", "dino-llm", "--features", name) for name in ("grammar", "async")}
    size = pathlib.Path(model).stat().st_size / 1e6
    rustc = subprocess.run(["rustc", "--version"], text=True, stdout=subprocess.PIPE, check=True).stdout.split()[1]
    return f"""# Footprint

What Dino-LLM costs a program that links it. Written by `tools/footprint.py` on {time.strftime("%Y-%m-%d")}, {platform.system()}, {processor()},
rustc {rustc}; do not edit. The program is the README's: load a file, generate, print. It is built from nothing, with all that it
depends on; the compiler's seconds are processor time, since they depend less on what else runs. Times and memory are those of
a process that loads `{pathlib.Path(model).name}` ({size:.0f} MB, in the page cache) and ends after its first token: medians of {runs}.

| | |
|---|---:|
| crates, `dino-llm` and its own included | {normal.crates} |
| … with the feature `grammar` | {features["grammar"]} |
| … with the feature `async` | {features["async"]} |
| stripped program | {normal.size:.2f} MB |
| … that also keeps a conversation (`ChatSession`: templates, tool calls) | {normal.chat:.2f} MB |
| a stripped program that only quantizes a file | {normal.quantize:.2f} MB |
| compiler's seconds for a first release build | {normal.seconds:.0f} |
| loading | {load:.0f} ms |
| start of the process to its end after the first token | {first:.0f} ms |
| most memory | {memory:.0f} MB |{smaller(folder) if small else ""}

| others | crates | size |
|---|---:|---:|
{chr(10).join(rivals(llama))}

{HAND_WRITTEN}"""


HAND_WRITTEN = "## Other targets\n"


def check():
    page = PAGE.read_text()
    crates = int(re.search(r"\| crates, .*\| (\d+) \|", page)[1])
    size = float(re.search(r"\| stripped program \| ([\d.]+) MB", page)[1])
    with tempfile.TemporaryDirectory(prefix="footprint-") as folder:
        program = Program(pathlib.Path(folder) / "normal")
    print(f"{program.crates} crates, the page says {crates}; {program.size:.2f} MB, the page says {size}")
    if program.crates > crates * MARGIN or program.size > size * MARGIN:
        sys.exit("more than a tenth above docs/footprint.md: make it smaller, or run tools/footprint.py and say why")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the page instead of writing it")
    parser.add_argument("--model", default=os.environ.get("DINO_MODEL", os.path.expanduser(
        "~/.cache/dino-llm/SmolLM2-135M-Instruct.Q4_1.gguf")))
    parser.add_argument("--llama", metavar="FOLDER", help="where libllama.so and libggml*.so of a rival are")
    parser.add_argument("--small", action="store_true", help="also build for size: minutes more")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--folder", type=pathlib.Path, help="where to build; programs that are there already are measured again")
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    old = PAGE.read_text() if PAGE.exists() else ""
    _, mark, rest = old.partition(HAND_WRITTEN)
    with tempfile.TemporaryDirectory(prefix="footprint-") as folder:
        folder = (arguments.folder or pathlib.Path(folder)).resolve()
        page = measure(arguments.model, arguments.llama, arguments.runs, folder, arguments.small)
    PAGE.write_text(page + (rest if mark else ""))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
