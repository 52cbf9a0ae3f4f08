"""Where the time of a GET goes: instructions and processor time, from a bare loop over a socket to a whole iteration.

``python benchmarks/get_floor.py`` sends GET requests to a server of its own, in one thread, each step with more of
pytest-ipload around the same two system calls, and prints Markdown. Instructions are those of the interpreter and its
libraries, counted by valgrind: they vary less than times do on a busy machine, but the kernel's are not among them.
Processor time is the thread's, the kernel's included; each figure is the least of several rounds. Neither has what
several users cost one another: see ``throughput.py`` for that. With ``--without-valgrind`` only times are measured.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
from pathlib import Path

from evidence_cost import instructions, serve
from table import ABSENT, block, markdown

STEPS = {
    "socket": "`sendall` and `recv` in a loop: the floor",
    "stamp": "the kernel's time of arrival (`recvmsg`), and a look before each send whether the server has closed",
    "parse": "clocks; head and body found by `find`, the head looked up",
    "fast path": "`FastPath.call`: prepared request, pool, hooks, `Response` with the time of arrival",
    "session": "`session.get`: nothing is recorded",
    "recorder": "`session.get`: each reply is recorded",
    "iteration": "a body with a fixture, as a user runs it: recorder, iteration, interruptible",
    "evidence": "the same, and the slowest requests are kept",
}


def timed(step: str, url: str, requests: int, rounds: int) -> float:
    """Microseconds of processor time a request, the least of the rounds."""
    child = [sys.executable, str(Path(__file__).with_name("get_steps.py")), step, url, str(requests)]
    return min(float(subprocess.run(child, check=True, capture_output=True, timeout=600).stdout) for _ in range(rounds))


def counted(step: str, url: str, requests: int) -> float:
    """Instructions a request: the difference between a long and a short run, by its length."""
    script, short = str(Path(__file__).with_name("get_steps.py")), requests // 8
    longer, shorter = (instructions(script, step, url, str(number)) for number in (requests, short))
    return (longer - shorter) / (requests - short)


def as_markdown(costs: dict[str, tuple[float | None, float]]) -> str:
    """The table; ``costs`` are instructions and microseconds a request by step."""
    rows, last = [], (0.0, 0.0)
    for step, (found, microseconds) in costs.items():
        count = found or 0.0
        more = ABSENT if found is None else f"{(count - last[0]) / 1000:+.1f}"
        total = ABSENT if found is None else f"{count / 1000:.1f}"
        rows.append([STEPS[step], total, more, f"{microseconds:.1f}", f"{microseconds - last[1]:+.1f}"])
        last = count, microseconds
    return markdown(["each step has those above it", "1000 instructions", "more", "CPU us", "more"], rows)


def main() -> None:
    """Count and time, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--requests", type=int, default=2000, help="requests that are counted. Default: 2000")
    arguments.add_argument("--rounds", type=int, default=5, help="rounds that are timed. Default: 5")
    arguments.add_argument("--steps", default=",".join(STEPS), help="some of the steps, by comma")
    arguments.add_argument("--without-valgrind", action="store_true", help="count no instructions")
    given = arguments.parse_args()
    costs = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for step in given.steps.split(","):
            count = None if given.without_valgrind else counted(step, url, given.requests)
            costs[step] = count, timed(step, url, 10 * given.requests, given.rounds)
            print(step, costs[step], file=sys.stderr)
    print(block("get-floor", [as_markdown(costs)]))


if __name__ == "__main__":
    main()
