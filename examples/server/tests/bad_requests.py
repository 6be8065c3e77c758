#!/usr/bin/env python3
"""Broken, huge, slow, dropped and mixed requests against a small server: all are answered or cut, nothing leaks.

Prints `N passed, N failed`; the exit status is 1 if any failed.
"""

import concurrent.futures
import http.client
import json
import pathlib
import random
import socket
import struct
import tempfile
import time

from server import Checks, Server, arguments, write_adapter

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
ASK = {"prompt": "Once upon a time", "max_tokens": 8}


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def is_error(answer, status, param=None):
    found, headers, body = answer
    same(found, status)
    same(sorted(body["error"]), ["code", "message", "param", "type"])
    assert isinstance(body["error"]["message"], str) and body["error"]["message"], body
    if param:
        same(body["error"]["param"], param)


def broken_bodies_are_named(server):
    for body in [b"", b"{", b"nonsense", b"[]", b"null", b"\xff\xfe", b'{"prompt": "a"} x', b'{"prompt": "a", "prompt": "b"}',
                 b"{" * 5000, b"[" * 100_000, b'{"prompt": "\\ud800"}', b'{"a":' * 5000]:
        for path in (CHAT, TEXT, "/v1/embeddings", "/tokenize", "/detokenize"):
            is_error(server.request(path, body), 400)


def wrong_types_are_named(server):
    for field, value in [("temperature", "hot"), ("temperature", []), ("max_tokens", -1), ("max_tokens", 1.5), ("n", "two"),
                         ("stop", 5), ("stop", [1]), ("stream", "yes"), ("logit_bias", {"1": "x"}), ("seed", "a"),
                         ("top_p", True), ("prompt", {"a": 1}), ("prompt", [-1]), ("stream_options", 3), ("tools", "none"),
                         ("max_tokens", 10**30), ("response_format", {"type": "xml"})]:
        answer = server.request(TEXT, {**ASK, field: value})
        is_error(answer, 400)
        assert (answer[2]["error"]["param"] or "").startswith(field), answer
    for field, value in [("temperature", -1), ("top_p", 7), ("min_p", 2), ("frequency_penalty", 9), ("repetition_penalty", 0),
                         ("stop", ""), ("max_tokens", 0), ("n", 0), ("n", 10_000), ("logit_bias", {"a": 1}),
                         ("logit_bias", {"99999999": 1}), ("logprobs", 1000), ("suffix", "end"), ("prompt", []),
                         ("prompt", [99999999]), ("grammar", "root ::= ("), ("model", "another")]:
        status = 404 if field == "model" else 400
        is_error(server.request(TEXT, {**ASK, field: value}), status)


def wrong_conversations_are_named(server):
    ask = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    for messages in [[], [{}], [{"role": 5}], ["Hi"], "Hi", [{"role": "user", "content": 5}],
                     [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]]:
        is_error(server.request(CHAT, {**ask, "messages": messages}), 400)
    for field, value in [("tool_choice", "maybe"), ("tool_choice", {"function": {"name": "x"}}), ("tools", [5]), ("tools", [{}]),
                         ("logprobs", 3), ("top_logprobs", -1), ("response_format", {"type": "json_schema"})]:
        is_error(server.request(CHAT, {**ask, field: value}), 400)
    deep = {}
    for _ in range(100):
        deep = {"type": "object", "properties": {"a": deep}}
    for schema in [deep, {"type": "x"}, {"enum": ["a" * 300_000]}, {"$ref": "#/a"}, {"$ref": "http://localhost/"}]:
        format = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        is_error(server.request(CHAT, {**ask, "response_format": format}), 400)


def unknown_fields_are_passed_over(server):
    body = {**ASK, "frobnicate": True, "user": "me", "metadata": {"a": 1}, "store": False, "service_tier": "auto", "temperature": None}
    same(server.request(TEXT, body)[0], 200)


def addresses_and_methods_are_checked(server):
    is_error(server.request("/v1/nothing"), 404)
    is_error(server.request("/v1/models/nothing"), 404)
    is_error(server.request(CHAT), 405)
    is_error(server.request("/health", b"{}"), 405)


def huge_bodies_are_refused(server):
    is_error(server.request(TEXT, {"prompt": "a" * 500_000}), 413)
    # Without a length beforehand.
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", TEXT, iter([b" " * 65536] * 64), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
        same(connection.getresponse().status, 413)
    except (BrokenPipeError, ConnectionResetError):
        pass  # The server has hung up while we were still writing.
    finally:
        connection.close()


def raw(server, head, body=b"", wait=5):
    """Sends bytes as they are; gives what comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as line:
        line.sendall(head + body)
        found = b""
        try:
            while piece := line.recv(65536):
                found += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return found


def broken_http_is_refused(server):
    for head in [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                 b"A" * 300_000 + b"\r\n\r\n"]:
        found = raw(server, head)
        assert found == b"" or b" 4" in found.split(b"\r\n")[0], found[:100]


def slow_senders_are_cut(server):
    head = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{"
    started = time.monotonic()
    found = raw(server, head, wait=15)
    assert b" 408 " in found.split(b"\r\n")[0], found[:100]
    assert time.monotonic() - started < 12
    started = time.monotonic()
    same(raw(server, b"POST /v1/comp", wait=15)[:9] in (b"", b"HTTP/1.1 "), True)
    assert time.monotonic() - started < 12, "half a head is waited for"


def stream_request(body):
    data = json.dumps({**body, "stream": True}).encode()
    return b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(data) + data


def slow_readers_get_all(server):
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.connect(("127.0.0.1", server.port))
        line.settimeout(60)
        line.sendall(stream_request({**ASK, "max_tokens": 200, "ignore_eos": True, "logprobs": 5}))
        found = b""
        while b"[DONE]" not in found:
            found += line.recv(512)
            time.sleep(0.002)
    same(found.count(b'"finish_reason":"length"'), 1)


def wait_until_idle(server, seconds=20):
    """Nothing runs any more: the server uses no processor time."""
    end = time.monotonic() + seconds
    while True:
        before = server.processor_time()
        time.sleep(0.4)
        if server.processor_time() - before <= 0.02:
            return
        assert time.monotonic() < end, "requests are stuck: the server goes on computing"


def dropped_sockets_cancel(server):
    long = {**ASK, "max_tokens": 1500, "ignore_eos": True}
    for reset in (False, True):
        for streamed in (False, True):
            lines = []
            for _ in range(8):
                line = socket.create_connection(("127.0.0.1", server.port))
                data = stream_request(long) if streamed else stream_request(long).replace(b'"stream": true', b'"stream":false')
                line.sendall(data)
                lines.append(line)
            time.sleep(0.5)
            for line in lines:
                if reset:
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                line.close()
            started = time.monotonic()
            wait_until_idle(server)
            assert time.monotonic() - started < 5, "dropped requests went on"


def a_full_queue_says_so(server):
    long = {**ASK, "max_tokens": 300, "ignore_eos": True}
    with concurrent.futures.ThreadPoolExecutor(48) as pool:
        answers = list(pool.map(lambda _: server.request(TEXT, long), range(48)))
    statuses = {status for status, _, _ in answers}
    same(statuses, {200, 429})
    for status, headers, body in answers:
        if status == 429:
            assert int(headers["Retry-After"]) >= 1 and body["error"]["code"] == "rate_limit_exceeded", body


def read_slowly(server, body, chance):
    """Reads a stream in small pieces with rests, and perhaps goes away before its end."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.connect(("127.0.0.1", server.port))
        line.settimeout(120)
        line.sendall(stream_request(body))
        found, patience = b"", chance.choice([5, 10_000])
        while b"[DONE]" not in found and b" 429 " not in found[:20] and patience:
            piece = line.recv(512)
            if not piece:
                return False
            found += piece
            patience -= 1
            time.sleep(0.001)
    return True


def one_of_many(server, number):
    """One request of a kind that the number chooses; whether its outcome is as it should be."""
    chance = random.Random(number)
    prompt = " ".join(chance.choices(["sea", "the", "was", "and", "1984", "été", "🌍"], k=chance.randint(1, 120)))
    ask = {"prompt": prompt, "max_tokens": chance.randint(1, 24), "seed": number}
    if chance.random() < 0.1:
        # Sooner than others. (Later than all others would be never, under this load.)
        ask["priority"] = -1
    if chance.random() < 0.3:
        ask["model"] = chance.choice(["one", "two"])
    if chance.random() < 0.2:
        ask["speculative_config"] = {"method": "ngram"}
    kind = chance.randrange(14)
    if kind == 0:
        return server.request(TEXT, {**ask, "temperature": "hot"})[0] == 400
    if kind == 1:
        return server.request(TEXT, json.dumps(ask).encode()[: chance.randint(0, 30)])[0] == 400
    if kind in (2, 3):
        with socket.create_connection(("127.0.0.1", server.port)) as line:
            line.sendall(stream_request({**ask, "max_tokens": 200})[: None if kind == 2 else chance.randint(1, 100)])
            time.sleep(chance.random() / 10)
            if chance.random() < 0.5:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return True
    if kind == 4:
        ask = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 12, "n": 2, "logprobs": True, "top_logprobs": 2}
        return server.request(CHAT, ask)[0] in (200, 429)
    if kind == 5:
        schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": False}
        format = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        status, _, body = server.request(CHAT, {"messages": [{"role": "user", "content": prompt}], "max_tokens": 40, "response_format": format})
        return status == 429 or status == 200 and json.loads(body["choices"][0]["message"]["content"])["a"] in ("x", "y")
    if kind == 6:
        return read_slowly(server, {**ask, "logprobs": 3}, chance)
    if kind == 7:
        status, _, body = server.request("/v1/embeddings", {"input": [prompt, "the sea"]})
        return status == 200 and len(body["data"]) == 2
    if kind == 8:
        # More than the whole cache holds.
        status, _, body = server.request(TEXT, {**ask, "prompt": prompt * 60})
        return status in (400, 413, 429, 200) if len(prompt) < 100 else body["error"]["code"] in ("context_length_exceeded", "rate_limit_exceeded")
    status, _, body = server.request(TEXT, {**ask, "stream": kind % 2 == 0})
    return status == 429 or status == 200 and (kind % 2 == 1 or body.endswith("[DONE]\n\n"))


def many_mixed_requests_leave_nothing(server, count):
    def round_of(first, count):
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            numbers = range(first, first + count)
            outcomes = zip(numbers, pool.map(lambda number: one_of_many(server, number), numbers))
            wrong = [number for number, is_right in outcomes if not is_right]
        same(wrong, [])
        wait_until_idle(server)
        counts = {name.split("{")[0].removeprefix("dino_"): value for name, value in server.metrics().items()}
        same((counts["num_requests_running"], counts["num_requests_waiting"]), (0, 0))
        # Nobody holds a page; what is left is remembered, and makes way.
        same(counts["kv_cache_bytes"], counts["kv_cache_remembered_bytes"])
        return server.memory(), counts
    # The first round fills caches and buffers.
    started = time.monotonic()
    rounds = [round_of(0, count // 2), round_of(count // 2, count // 4), round_of(count // 2 + count // 4, count // 4)]
    after, counts = [memory for memory, _ in rounds], rounds[-1][1]
    print(f"       {count} requests in {time.monotonic() - started:.0f} s; resident MB after rounds: {[size >> 20 for size in after]}; "
          f"{counts['num_preemptions_total']:.0f} preemptions, {counts['num_requests_refused_total']:.0f} refused by a full queue, "
          f"{counts['prefix_cache_hits_total']:.0f} of {counts['prefix_cache_queries_total']:.0f} prompt tokens known")
    assert after[2] < after[0] + (24 << 20), after
    same(server.request("/health")[0], 200)


def answers_are_the_same_afterwards(server, before):
    same(greedy(server), before)


def greedy(server):
    return server.request(TEXT, {**ASK, "max_tokens": 30, "temperature": 0})[2]["choices"][0]["text"]


def drains_when_told(options):
    with Server(options.server, options.model) as server, concurrent.futures.ThreadPoolExecutor(4) as pool:
        ask = {**ASK, "max_tokens": 150, "ignore_eos": True}
        answers = [pool.submit(server.request, TEXT, ask) for _ in range(4)]
        time.sleep(0.5)
        same(server.stop(), 0)
        same([answer.result()[2]["usage"]["completion_tokens"] for answer in answers], [150] * 4)


def stops_when_patience_ends(options):
    with Server(options.server, options.model, "--drain-timeout", "1") as server, concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: raw(server, stream_request({**ASK, "max_tokens": 1900, "ignore_eos": True}), wait=30))
        time.sleep(0.5)
        started = time.monotonic()
        same(server.stop(), 0)
        assert time.monotonic() - started < 8


def time_ends_an_answer(options):
    with Server(options.server, options.model, "--timeout", "1") as server:
        status, _, body = server.request(TEXT, {**ASK, "max_tokens": 1900, "ignore_eos": True})
        same((status, body["choices"][0]["finish_reason"]), (200, "length"))
        assert body["usage"]["completion_tokens"] < 1900, body["usage"]


def main():
    parser = arguments(__doc__)
    parser.add_argument("--count", type=int, default=1200, help="mixed requests; with fewer than 1000, buffers still fill in the rounds that are compared")
    options = parser.parse_args()
    checks = Checks()
    limits = ["--max-body", "400000", "--read-timeout", "3", "--max-queue", "12", "--max-sequences", "8", "--context-length", "2048",
              "--cache-memory", str(100 << 20)]
    with Server(options.server, options.model, *limits) as server:
        before = greedy(server)
        for check in [broken_bodies_are_named, wrong_types_are_named, wrong_conversations_are_named, unknown_fields_are_passed_over,
                      addresses_and_methods_are_checked, huge_bodies_are_refused, broken_http_is_refused, slow_senders_are_cut,
                      slow_readers_get_all, dropped_sockets_cancel, a_full_queue_says_so]:
            checks.run(check, server)
        checks.run(answers_are_the_same_afterwards, server, before)
    with tempfile.TemporaryDirectory() as folder:
        lora = []
        for seed, name in enumerate(["one", "two"]):
            write_adapter(pathlib.Path(folder, name), seed, 0.3)
            lora.append(f"{name}={folder}/{name}")
        # A cache of about 20 pages for 8 texts and their past.
        tiny = ["--max-queue", "16", "--max-sequences", "8", "--cache-memory", str(30 << 20), "--lora", *lora]
        with Server(options.server, options.model, *tiny) as server:
            before = greedy(server)
            checks.run(many_mixed_requests_leave_nothing, server, options.count)
            checks.run(answers_are_the_same_afterwards, server, before)
    for check in [drains_when_told, stops_when_patience_ends, time_ends_an_answer]:
        checks.run(check, options)
    checks.end()


if __name__ == "__main__":
    main()
