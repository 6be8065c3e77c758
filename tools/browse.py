#!/usr/bin/env python3
"""Opens a page in headless Chromium, waits until it says that it is done, and prints its text.

    tools/browse.py URL [--screenshot FILE.png] [--seconds N]

A page is done when <body data-state> says so: `done`, or anything else for a failure. Speaks the DevTools protocol over
the browser's own pipe, so it needs nothing but the browser.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time


class Browser:
    """One page of a Chromium of its own."""

    def __init__(self, profile):
        (read, self.to), (self.back, write) = os.pipe(), os.pipe()

        def place_pipes():  # the browser reads from descriptor 3 and writes to 4
            first, second = os.dup(read), os.dup(write)
            os.dup2(first, 3)
            os.dup2(second, 4)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--window-size=900,800"]
        self.process = subprocess.Popen(["chromium", *flags, f"--user-data-dir={profile}"], stderr=subprocess.DEVNULL,
                                        preexec_fn=place_pipes, pass_fds=(3, 4, read, write))
        os.close(read)
        os.close(write)
        self.pending, self.count, self.session = b"", 0, None

    def call(self, method, **params):
        """The result of one command."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.pending:
                part = os.read(self.back, 1 << 16)
                if not part:
                    sys.exit("the browser ended")
                self.pending += part
            answer, _, self.pending = self.pending.partition(b"\0")
            answer = json.loads(answer)
            if answer.get("id") == self.count:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, url):
        target = self.call("Target.createTarget", url=url)["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def value(self, expression):
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--screenshot", metavar="FILE.png")
    parser.add_argument("--seconds", type=float, default=120, help="how long the page may take")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        browser.open(arguments.url)
        end = time.monotonic() + arguments.seconds
        while not (state := browser.value("document.body?.dataset.state")) and time.monotonic() < end:
            time.sleep(0.1)
        print(browser.value("document.body.innerText"))
        if arguments.screenshot:
            with open(arguments.screenshot, "wb") as file:
                file.write(base64.b64decode(browser.call("Page.captureScreenshot")["data"]))
        browser.call("Browser.close")
        browser.process.wait(20)
    if state != "done":
        sys.exit(f"the page did not come to its end: {state or 'it still runs'}")


if __name__ == "__main__":
    main()
