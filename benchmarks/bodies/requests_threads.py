"""Plain ``requests.Session`` on threads: what one writes without a load test tool.

Each user is a thread with one Session. Without ``--pacing`` it calls the body again and again; with it, calls are due
on a grid, the users' grids are spread evenly over one cycle, and the time round each call goes to ``--latencies``.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests


def get(session: requests.Session, url: str) -> None:
    r = session.get(url)
    assert r.status_code == 200


def full(session: requests.Session, url: str) -> None:
    r = session.get(url)
    assert r.status_code == 200
    assert r.ok
    assert r.headers["content-type"] == "text/plain"
    assert len(r.content) == 66
    assert "hello" in r.text
    assert r.elapsed.total_seconds() > 0


def post(session: requests.Session, url: str) -> None:
    r = session.post(url, json={"item": 42, "name": "widget", "tags": ["a", "b"]})
    assert r.status_code == 200


def body(session: requests.Session, url: str) -> None:
    r = session.get(url)
    assert r.status_code == 200
    assert len(r.content) == 1 << 20


def upload(session: requests.Session, url: str) -> None:
    r = session.post(url, files={"file": ("data.bin", _UPLOAD)})
    assert r.status_code == 200


_UPLOAD = bytes(10_000_000)
BODIES: dict[str, Callable[[requests.Session, str], None]] = {
    "get": get, "full": full, "post": post, "body": body, "upload": upload,
}  # fmt: skip


class Load:
    """The users, and what they measured."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.body = BODIES[options.body]
        self.errors: list[BaseException] = []
        self.latencies: list[list[float]] = [[] for _ in range(options.users)]
        self.began = 0.0

    def run(self) -> None:
        """Start all users and wait for them."""
        self.began = time.perf_counter()
        threads = [threading.Thread(target=self.live, args=(index,)) for index in range(self.options.users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def live(self, index: int) -> None:
        """One user's life; it ends with the first error."""
        with requests.Session() as session:
            if self.options.ca:
                session.verify = self.options.ca
            try:
                if self.options.pacing:
                    self.paced(session, index)
                else:
                    self.closed_loop(session)
            except Exception as error:
                self.errors.append(error)

    def closed_loop(self, session: requests.Session) -> None:
        body, url, end = self.body, self.options.url, self.began + self.options.seconds
        while time.perf_counter() < end:
            body(session, url)

    def paced(self, session: requests.Session, index: int) -> None:
        options, latencies = self.options, self.latencies[index]
        judged, end = self.began + options.warmup, self.began + options.seconds
        due = self.began + options.spread * index / options.users
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            started = time.perf_counter()
            if started >= end:
                return  # too late: the load is over
            self.body(session, options.url)
            ended = time.perf_counter()
            if started >= judged:
                latencies.append((ended - started) * 1000)
            until = time.thread_time() + options.burn
            while time.thread_time() < until:
                pass
            due += options.pacing


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("body", choices=BODIES)
    parser.add_argument("url")
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="how long calls start, from the first thread on")
    parser.add_argument("--ca", help="certificate authority to trust")
    parser.add_argument("--pacing", type=float, default=0, help="seconds from one call of a user to its next")
    parser.add_argument("--spread", type=float, default=0, help="seconds over which the users' first calls are spread")
    parser.add_argument("--warmup", type=float, default=0, help="calls in the first seconds are not recorded")
    parser.add_argument("--burn", type=float, default=0, help="seconds of processor time to burn after each call")
    parser.add_argument("--latencies", type=Path, help="file for the milliseconds of each call, as JSON")
    return parser.parse_args()


def main() -> None:
    options = parse()
    load = Load(options)
    load.run()
    if options.latencies:
        options.latencies.write_text(json.dumps([value for user in load.latencies for value in user]))
    if load.errors:
        sys.exit(f"{len(load.errors)} users failed, the first with {load.errors[0]!r}")


if __name__ == "__main__":
    main()
