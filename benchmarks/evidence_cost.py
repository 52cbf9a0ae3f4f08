"""What evidence and traces cost a request: instructions of the session alone, counted by valgrind.

``python benchmarks/evidence_cost.py`` sends GET requests to a server of its own and prints Markdown. Counts vary less
than times do on a busy machine. What a load needs to start, and its first requests, which are all among the slowest so
far, are left out: the count is the difference between a long and a short run. So is garbage collection, which comes
in large steps.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from table import markdown

WAYS = ("off", "evidence", "evidence and traces")
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
_CHILD = """
import gc
import sys
from pytest_ipload import LoadSession
from pytest_ipload.base.traceparent import Tracer
from pytest_ipload.stats.evidence.keeper import EvidenceKeeper, UserEvidence
from pytest_ipload.stats.recorder import Recorder

class User:
    index = iteration = 0
    is_iterating = True

way, url, requests = sys.argv[1], sys.argv[2], int(sys.argv[3])
recorder = Recorder()
session = LoadSession(base_url=url, record=recorder.record, tally=recorder.tally)
if "evidence" in way:
    evidence = UserEvidence(EvidenceKeeper(3, lambda: 0), recorder.record)
    evidence.user, session.record, session.evidence = User(), evidence.record, evidence
if "traces" in way:
    session.tracer = Tracer(lambda: 0)
gc.collect()
gc.freeze()
gc.disable()
for _ in range(requests):
    session.get("/")
"""


def serve(listener: socket.socket, seen: Callable[[bytes], object] = len) -> None:
    """Answer each request on each connection, until the listener is closed; ``seen`` is called with each of them."""

    def answer(connection: socket.socket) -> None:
        with connection:
            while request := connection.recv(65536):
                seen(request)
                connection.sendall(_REPLY)

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def instructions(*arguments: str) -> int:
    """Of one process of Python with these arguments. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"]
        subprocess.run(
            [*valgrind, sys.executable, *arguments],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=True,
            timeout=600,
        )
        return collected(log.read_text(encoding="utf-8"))


def collected(log: str) -> int:
    """The count in callgrind's log. Raises ValueError without one."""
    found = re.search(r"Collected : (\d+)", log)
    if found is None:
        raise ValueError("callgrind counted nothing")
    return int(found[1])


def as_markdown(counts: dict[str, float]) -> str:
    """The table; ``counts`` are instructions per request by way."""
    base = counts[WAYS[0]]
    rows = [[way, f"{count:.0f}", f"{(count / base - 1) * 100:+.1f} %"] for way, count in counts.items()]
    return markdown(["", "instructions per request", "more"], rows)


def main() -> None:
    """Count, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--requests", type=int, default=4000, help="requests of the long run. Default: 4000")
    requests = arguments.parse_args().requests
    short = requests // 4
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        counts = {}
        for way in WAYS:
            longer, shorter = (instructions("-c", _CHILD, way, url, str(number)) for number in (requests, short))
            counts[way] = (longer - shorter) / (requests - short)
    print(as_markdown(counts))


if __name__ == "__main__":
    main()
