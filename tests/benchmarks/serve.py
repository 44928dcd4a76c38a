"""The web page while files are sent to it that are hard to read: how long its visitors wait.

    python -m tests.benchmarks.serve

Visitors go through the pages of a campaign; beside them others send, one after the other, lines of unclosed quotes, a
very long cell, and a Parquet file of a few hundred bytes that holds hundreds of megabytes, each until its preview says
what is to be said.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq

from isd_ray.ops.campaign import Campaign
from isd_ray.testing.campaigns import small_campaign

MOST_SECONDS = 5.0
TOKEN = secrets.token_urlsafe()
PAGES = ("", "/batch", "/events", "/live?seen=0", "/batch/live?seen=0")


def unclosed_quotes(nonce):
    """Lines that each open a quote."""
    return f"{nonce}.csv", f"name,y\n{nonce},1\n".encode() + b'a","\n' * 30_000


def long_cell(nonce):
    """A number of 20,000 digits that is none."""
    return f"{nonce}.csv", f"name,y\n{nonce},{'1' * 20_000}x\n".encode()


def dictionary_bomb(nonce):
    """One text of 1 MiB, 600 times."""
    sink = io.BytesIO()
    places = pa.array([0] * 600, pa.int32())  # made as it is kept: the whole would hold up this process, too
    text = pa.DictionaryArray.from_arrays(places, pa.array([nonce + "x" * (1 << 20)]))
    pq.write_table(pa.table({"name": text, "y": pa.array(["1"] * 600)}), sink, compression="zstd")
    return f"{nonce}.parquet", sink.getvalue()


class Visitor:
    """Somebody who has logged in; notes how long each answer took."""

    def __init__(self, address, key, taken):
        self._http = httpx2.Client(base_url=address, headers={"Origin": address}, timeout=120)
        self._key, self._taken = key, taken
        self._asked("log in", "POST", "/login", data={"token": TOKEN, "who": "Ada"})
        self._form_token = re.search(r'name="form_token" value="([^"]+)"', self._asked("/", "GET", "/").text)[1]

    def look(self):
        """See all pages once."""
        for end in PAGES:
            answer = self._asked(f"/c/KEY{end.partition('?')[0]}", "GET", f"/c/{self._key}{end}")
            assert answer.status_code == 200, answer.text

    def send(self, make):
        """Send a file, and wait until the page says what would become of it."""
        name, content = make(secrets.token_hex(8))
        place = f"/c/{self._key}/uploads"
        fields = {"form_token": self._form_token}
        preview = self._asked(f"send {make.__name__}", "POST", place, data=fields, files={"file": (name, content)})
        start = time.perf_counter()
        while "refresh" in (answer := self._asked("preview", "GET", preview.headers["location"])).headers:
            time.sleep(1)
        assert answer.status_code == 200, answer.text
        self._taken[f"({make.__name__} until it is read)"].append(time.perf_counter() - start)

    def _asked(self, what, method, path, **content):
        start = time.perf_counter()
        answer = self._http.request(method, path, **content)
        self._taken[what].append(time.perf_counter() - start)
        return answer


def visited(address, key, n_visitors, seconds):
    """Seconds of all requests by what they were, with `n_visitors` and three who send files."""
    taken, failures = defaultdict(list), []
    start = threading.Barrier(n_visitors + 3)

    def go(do):
        try:
            visitor = Visitor(address, key, taken)
            start.wait()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                do(visitor)
        except Exception as error:
            start.abort()
            failures.append(error)

    does = [Visitor.look] * n_visitors
    for make in (unclosed_quotes, long_cell, dictionary_bomb):
        does.append(lambda visitor, make=make: visitor.send(make))
    threads = [threading.Thread(target=go, args=(do,)) for do in does]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return taken


def main():
    """Run, and print a table; 1 if anybody waited too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        campaign = Campaign.create(Path(name) / "run", small_campaign("values", {}, Path(name)))
        campaign.ask()
        command = [sys.executable, "-u", "-c", "from isd_ray.cli import main; main()", "serve", name, "--port", "0"]
        environment = {**os.environ, "ISD_SERVE_TOKEN": TOKEN}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
            try:
                address = re.search(r"http://\S+", server.stdout.readline())[0]
                key = re.search(r"/c/([\w-]+)", _front_page(address))[1]
                taken = visited(address, key, arguments.visitors, arguments.seconds)
            finally:
                server.terminate()
    print("| request | number | median (s) | slowest (s) |\n|---|---|---|---|")
    for what, seconds in sorted(taken.items()):
        print(f"| {what} | {len(seconds):,} | {statistics.median(seconds):.2f} | {max(seconds):.2f} |")
    slowest = max(max(seconds) for what, seconds in taken.items() if not what.startswith("("))
    print(f"\nslowest request {slowest:.2f} s; limit {MOST_SECONDS:g} s")
    return slowest > MOST_SECONDS


def _front_page(address):
    with httpx2.Client(base_url=address, headers={"Origin": address}, follow_redirects=True) as client:
        return client.post("/login", data={"token": TOKEN}).text


if __name__ == "__main__":
    sys.exit(main())
