"""A Python target in a process of its own whose stacks may be read, and stand-ins for py-spy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_ipload.explain.py_spy import find_program

TARGET = """
import ctypes, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER_ANY: Yama lets any process read

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        price_of()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

def price_of():
    time.sleep(0.02)  # password = 'hunter2'

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextmanager
def running_python_target(folder: Path) -> Iterator[tuple[str, int]]:
    """The URL of a target that sleeps in each request, and its process."""
    script = folder / "shop_server.py"
    script.write_text(TARGET)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
        finally:
            process.kill()


def require_readable_stacks(pid: int) -> None:
    """Skip the test where py-spy is missing or may not read another process; where CI=true, it fails."""
    program = find_program()
    done = None
    if program is not None:
        command = [program, "dump", "--nonblocking", "--pid", str(pid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done is None or done.returncode != 0:
        message = f"py-spy cannot read other processes: {done.stderr if done else 'it is missing'}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def stand_in(folder: Path, body: str) -> str:
    """A program that takes py-spy's arguments and does something else; ``output`` is the file that it is to write."""
    path = folder / "py-spy"
    text = f"#!{sys.executable} -S\nimport sys, time, os\noutput = sys.argv[sys.argv.index('--output') + 1]\n"
    path.write_text(text + dedent(body))
    path.chmod(0o755)
    return str(path)
