"""Starts and stops the server for the scripts beside this one."""

import argparse
import json
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--server", type=pathlib.Path, default=target / "release/dino-server", help="the program")
    parser.add_argument("--model", type=pathlib.Path, help="the model file; the default model if missing")
    return parser


class Server:
    """A server on a free port of 127.0.0.1; stops when the block ends."""

    def __init__(self, program, model=None, *options):
        command = [str(program), "--port", "0", *options]
        if model:
            command += ["--model", str(model)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if " at http://" not in line:
            raise SystemExit(f"the server did not start: {line!r}")
        self.model, self.url = line.strip().split(" at ")
        self.port = int(self.url.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=60):
        """Asks the server to stop, and gives its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def request(self, path, body=None, headers={}, timeout=120, method=None):
        """Status, headers and body of an answer; the body as JSON where it is."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, found, text = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, found, text = error.code, error.headers, error.read()
        try:
            return status, found, json.loads(text)
        except ValueError:
            return status, found, text.decode(errors="replace")

    def memory(self):
        """Bytes that the server holds (Linux)."""
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ValueError("no VmRSS")

    def processor_time(self):
        """Seconds of processor time that the server has used (Linux)."""
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metrics(self):
        """Values by name, labels included."""
        lines = self.request("/metrics")[2].splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


def write_adapter(folder, seed, size, layers=30, hidden=576, rank=4):
    """A random adapter of the default model's output projections, as PEFT writes it; with a size of 0 it changes nothing."""
    chance = random.Random(seed)
    header, data = {}, b""
    for layer in range(layers):
        for matrix, shape, scale in [("A", [rank, hidden], hidden**-0.5), ("B", [hidden, rank], size)]:
            values = [chance.gauss(0, scale) if scale else 0.0 for _ in range(rank * hidden)]
            name = f"base_model.model.model.layers.{layer}.self_attn.o_proj.lora_{matrix}.weight"
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
            data += struct.pack(f"<{len(values)}f", *values)
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank, "target_modules": ["o_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    text = json.dumps(header).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


class Checks:
    """Runs functions, counts those that raise, and ends the program accordingly."""

    def __init__(self):
        self.passed, self.failed = 0, []

    def run(self, check, *arguments):
        name = check.__name__
        try:
            check(*arguments)
        except Exception as error:  # noqa: BLE001: any failure counts
            self.failed.append(name)
            print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
        else:
            self.passed += 1
            print(f"ok     {name}", flush=True)

    def end(self):
        print(f"{self.passed} passed, {len(self.failed)} failed")
        sys.exit(1 if self.failed or not self.passed else 0)
