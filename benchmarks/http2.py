"""What a request over HTTP/2 costs: a load session beside libcurl alone, on one connection to nginx.

nginx has one core, this process another one; the clients take turns of some hundred requests, so that a slow moment of
the machine affects all of them. The result is Markdown on stdout; progress is on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pycurl
from machine import describe, interruptible, prepare
from nginx import REPLY, running_nginx
from options import count
from table import block, markdown, median, ratio, spread

from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.transport.session import LoadSession

_WARM = 50
Client = Callable[[], object]


class Turn(NamedTuple):
    """Microseconds per request of one turn: by the clock, and of this process's time on a core."""

    clock_us: float
    cpu_us: float


def bare(url: str, certificate: str) -> Client:
    """libcurl as pycurl's users use it: the handle is kept, and head and body are gathered."""
    curl = pycurl.Curl()
    for option, value in (
        (pycurl.URL, url),
        (pycurl.CAINFO, certificate),
        (pycurl.INTERFACE, "host!127.0.0.5"),
        (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE),
        (pycurl.NOSIGNAL, 1),
    ):
        curl.setopt(option, value)

    def get() -> None:
        head: list[bytes] = []
        body: list[bytes] = []
        curl.setopt(pycurl.HEADERFUNCTION, head.append)
        curl.setopt(pycurl.WRITEFUNCTION, body.append)
        curl.perform()
        if curl.getinfo(pycurl.RESPONSE_CODE) != 200 or b"".join(body).decode() != REPLY:
            raise RuntimeError("not the reply")

    return get


@contextlib.contextmanager
def load_session(url: str, certificate: str, *, http: str, fast: bool = True) -> Iterator[Client]:
    """A session as a load makes it, whose samples are recorded."""
    recorder = Recorder()
    with LoadSession(["127.0.0.5"], record=recorder.record, tally=recorder.tally, http=http, fast=fast) as session:
        session.verify = certificate

        def get() -> None:
            response = session.get(url)
            if response.status_code != 200 or response.text != REPLY or response.http_version != http:
                raise RuntimeError("not the reply")

        yield get


def turn(client: Client, requests: int) -> Turn:
    """Some requests, one after the other."""
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(requests):
        client()
    return Turn((time.perf_counter() - started) / requests * 1e6, (time.process_time() - cpu) / requests * 1e6)


def main() -> int:
    """Measure, and print a table."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--rounds", type=count, default=15)
    made.add_argument("--requests", type=count, default=400, help="of each client in a round")
    options = made.parse_args()
    cores = prepare()
    os.sched_setaffinity(0, {cores.client})
    with tempfile.TemporaryDirectory() as folder, running_nginx(cores.server, Path(folder)) as nginx:
        url, ca = f"https://127.0.0.1:{nginx.ports.http2}/small", nginx.certificate
        with (
            load_session(url, ca, http="2") as over_2,
            load_session(url, ca, http="2", fast=False) as stock,
            load_session(url, ca, http="1.1") as over_1,
        ):
            clients = {
                "pycurl alone, HTTP/2": bare(url, ca),
                "load session, HTTP/2": over_2,
                "the same, stock path": stock,
                "load session, HTTP/1.1": over_1,
            }
            turns: dict[str, list[Turn]] = {name: [] for name in clients}
            for client in clients.values():
                turn(client, _WARM)
            for number in range(1, options.rounds + 1):
                for name, client in clients.items():
                    turns[name].append(turn(client, options.requests))
                print(f"round {number} of {options.rounds}", file=sys.stderr)
    alone = turns["pycurl alone, HTTP/2"]
    rows = [
        [
            name,
            spread([each.clock_us for each in found]),
            ratio(median([a.clock_us / b.clock_us for a, b in zip(found, alone, strict=True)]), 1.0),
            spread([each.cpu_us for each in found]),
            ratio(median([a.cpu_us / b.cpu_us for a, b in zip(found, alone, strict=True)]), 1.0),
        ]
        for name, found in turns.items()
    ]
    how = f"GET with TLS, one user; {options.rounds} rounds of {options.requests} requests: median (smallest-largest)."
    columns = ("", "us/request", "to pycurl", "CPU us/request", "to pycurl")
    print(block("http2", [f"{how}\n\n{describe(cores, ['nginx'])}", markdown(columns, rows)]))
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(main))
