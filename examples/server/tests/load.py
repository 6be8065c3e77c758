#!/usr/bin/env python3
"""Many clients at once: tokens a second, and the time to the first and to each further token.

`--peer URL` puts the same load on another server that speaks OpenAI's API (llama.cpp's, say), in turn with ours. Every
client streams; a token is an event with text. Prompts and lengths are mixed, the same for both.
"""

import concurrent.futures
import json
import random
import statistics
import time
import urllib.request

from server import Server, arguments

WORDS = "the sea was calm and grey under a low sky while small boats came home one by one with their nets full".split()


def workload(count, seed):
    """Requests of mixed length, others for each seed, so that no cache helps: (prompt, tokens)."""
    chance = random.Random(seed)
    return [(" ".join(chance.choices(WORDS, k=chance.choice([16, 40, 100, 200]))), chance.choice([32, 64, 96, 128])) for _ in range(count)]


def ask(url, model, request):
    """Times of all tokens of one streamed answer, from the moment it is asked."""
    prompt, tokens = request
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True, "ignore_eos": True,
            "logit_bias": {}, "stream_options": {"include_usage": True}}
    started = time.perf_counter()
    data = json.dumps(body).encode()
    times, used = [], 0
    with urllib.request.urlopen(urllib.request.Request(url + "/v1/completions", data, {"Content-Type": "application/json"})) as answer:
        for line in answer:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[6:])
            used = (event.get("usage") or {}).get("completion_tokens", used)
            if event["choices"] and event["choices"][0]["text"]:
                times.append(time.perf_counter() - started)
    return times, used or len(times)


def run(url, model, requests, clients):
    """The figures of one run."""
    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda request: ask(url, model, request), requests))
    seconds = time.perf_counter() - started
    first = [times[0] for times, _ in answers]
    gaps = [b - a for times, _ in answers for a, b in zip(times, times[1:])]
    tokens = sum(used for _, used in answers)
    point = lambda values, share: sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1000
    return {"tokens": tokens, "seconds": seconds, "rate": tokens / seconds,
            "first p50": point(first, 0.5), "first p99": point(first, 0.99), "each p50": point(gaps, 0.5), "each p99": point(gaps, 0.99)}


def show(name, figures):
    print(f"{name:24} {figures['tokens']:6} tokens  {figures['rate']:7.1f}/s   first p50 {figures['first p50']:7.0f} ms  p99 {figures['first p99']:7.0f} ms"
          f"   each p50 {figures['each p50']:6.1f} ms  p99 {figures['each p99']:6.1f} ms", flush=True)


def main():
    parser = arguments(__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--count", type=int, default=16, help="requests of a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peer", help="another server's base URL, without /v1")
    parser.add_argument("--peer-model", default="default")
    parser.add_argument("--alone", action="store_true", help="also one request after another")
    parser.add_argument("--threads", default="0")
    options = parser.parse_args()
    with Server(options.server, options.model, "--threads", options.threads) as server:
        rates = {"ours": [], "alone": [], "peer": []}
        run(server.url, server.model, workload(2, -1), 2)
        if options.peer:
            run(options.peer, options.peer_model, workload(2, -1), 2)
        for number in range(options.rounds):
            requests = workload(options.count, number)
            figures = run(server.url, server.model, requests, options.clients)
            show(f"ours, {options.clients} clients", figures)
            rates["ours"].append(figures["rate"])
            if options.alone:
                figures = run(server.url, server.model, workload(options.count, 1000 + number), 1)
                show("ours, one after another", figures)
                rates["alone"].append(figures["rate"])
            if options.peer:
                figures = run(options.peer, options.peer_model, requests, options.clients)
                show(f"peer, {options.clients} clients", figures)
                rates["peer"].append(figures["rate"])
        ours = statistics.median(rates["ours"])
        for name in ("alone", "peer"):
            if rates[name]:
                print(f"ours / {name}: {ours / statistics.median(rates[name]):.2f}")


if __name__ == "__main__":
    main()
