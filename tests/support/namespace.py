"""A bench of network namespaces: hosts with addresses, links and settings of their own, for one test.

::

    with network() as net:
        client, server = net.add("client"), net.add("server")
        net.link("wire", (client, ["10.77.0.1/24"]), (server, ["10.77.0.2/24"]))
        client.sysctl("net.ipv4.ip_local_port_range", "40000 40099")
        with server.running(serve):                     # a context manager, entered in a program on that host
            assert client.call(ask, "10.77.0.2") == ...     # a function, called in a program on that host

Functions are named by their file, arguments and results are JSON. All is removed at the end of the ``with`` block.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

PATIENCE_S = 120.0
"""How long a program on a host may take to begin, or to end, before it is killed."""

_TESTS = Path(__file__).parents[1]
_NUMBERS = itertools.count()
"""Networks that are there at the same time may have hosts of the same label."""
_RUN = """
import contextlib, json, runpy, sys
path, name, arguments = sys.argv[1:]
result = runpy.run_path(path)[name](*json.loads(arguments))
with result if hasattr(result, "__enter__") else contextlib.nullcontext(result) as value:
    print(json.dumps(value), flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Namespace:
    """A host of the bench."""

    name: str
    enter: tuple[str, ...]
    """The command that runs what follows it on this host."""

    def run(self, *command: str) -> str:
        """The output of a command, which must succeed: another program, or pytest."""
        return _output(*self.enter, *command)

    def processes(self) -> dict[int, str]:
        """The command lines of all that runs on this host, by process id."""
        return _processes(self.name)

    def ip(self, line: str) -> str:
        """Run ``ip``, as in ``ip("route add local 10.50.0.0/16 dev lo")``."""
        return self.run("ip", *line.split())

    def sysctl(self, key: str, value: str) -> None:
        """Set a network setting of this host alone, by its dotted name."""
        self.run("sh", "-c", 'printf %s "$1" > "$0"', f"/proc/sys/{key.replace('.', '/')}", value)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a module's function, called in a new Python on this host."""
        with self._program(function, arguments) as result:
            return result

    def running(
        self, function: Callable[..., AbstractContextManager[Any]], *arguments: Any
    ) -> AbstractContextManager[Any]:
        """A module's context manager, entered in a new Python on this host and left with the ``with`` block."""
        return self._program(function, arguments)

    @contextlib.contextmanager
    def _program(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Iterator[Any]:
        what = (inspect.getfile(inspect.unwrap(function)), function.__name__, json.dumps(arguments))
        command = [*self.enter, sys.executable, "-W", "error", "-c", _RUN, *what]
        environment = {**os.environ, "PYTHONPATH": str(_TESTS)}
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with _killed_after(PATIENCE_S, process):
                    line = process.stdout.readline()
                if line:
                    yield json.loads(line)
            finally:
                with _killed_after(PATIENCE_S, process):
                    process.stdin.close()  # tells the program to end
                    code = process.wait()
                errors.seek(0)
                said = errors.read()
            assert (code, said) == (0, ""), f"{function.__name__} on host {self.name}: exit code {code}\n{said}"


@dataclass(frozen=True)
class Network:
    """The hosts of one test and the links between them; the links go with their hosts."""

    cleanup: contextlib.ExitStack

    def add(self, label: str) -> Namespace:
        """A new host, with loopback up. What still runs on it in the end is killed."""
        name = f"{_prefix()}{next(_NUMBERS)}-{label}"
        _output("ip", "netns", "add", name)
        self.cleanup.callback(_output, "ip", "netns", "delete", name)
        self.cleanup.callback(_kill_all, name)
        host = Namespace(name, ("ip", "netns", "exec", name))
        host.ip("link set lo up")
        return host

    def link(self, name: str, *ends: tuple[Namespace, Sequence[str]], far_name: str | None = None) -> None:
        """A cable between two hosts, with the addresses given at each end (``10.77.0.1/24``).

        It has this name at both ends, or another one at the second.
        """
        (one, _), (other, _) = ends
        names = name, far_name or name
        pair = f"ip link add {names[0]} netns {one.name} type veth peer name {names[1]} netns {other.name}"
        _output(*pair.split())
        for own_name, (host, addresses) in zip(names, ends, strict=True):
            for address in addresses:
                host.ip(f"addr add {address} dev {own_name}")
            host.ip(f"link set {own_name} up")
        for own_name, (host, _) in zip(names, ends, strict=True):
            _wait_until_up(host, own_name)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network without hosts; it needs root. Skips the test where there is none, or fails it where CI=true."""
    lack = network_lack()
    if lack is not None:
        _do_without(f"no network of namespaces: {lack}")
    with contextlib.ExitStack() as cleanup:
        yield Network(cleanup)


@contextlib.contextmanager
def lone_host() -> Iterator[Namespace]:
    """One host without links, which a system that permits user namespaces gives to everybody; else as ``network``."""
    lack = lone_host_lack()
    if lack is not None:
        with network() as net:
            yield net.add("alone")
        return
    with subprocess.Popen(
        ["unshare", "-Urn", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()  # now it is in its namespace, which lives as long as it
        try:
            host = Namespace(
                "alone", ("nsenter", "--preserve-credentials", "--user", "--net", f"--target={holder.pid}")
            )
            host.ip("link set lo up")
            yield host
        finally:
            holder.stdin.close()


@cache
def network_lack() -> str | None:
    """What this system lacks for a network of namespaces; None if nothing."""
    missing = _missing_programs("ip", "ss", "sh")
    if missing is not None:
        return missing
    try:
        with contextlib.ExitStack() as cleanup:
            trial = Network(cleanup).add("trial")
            trial.sysctl("net.ipv4.ip_local_port_range", "40000 40099")
    except AssertionError as error:
        return f"{error} (it needs root and a writable /proc/sys)"
    return None


@cache
def lone_host_lack() -> str | None:
    """What this system lacks for a single namespace without root; None if nothing."""
    missing = _missing_programs("ip", "sh", "unshare", "nsenter")
    if missing is not None:
        return missing
    try:
        _output("unshare", "-Urn", "ip", "link", "set", "lo", "up")
    except AssertionError as error:
        return str(error)
    return None


def hosts_of_this_process() -> list[str]:
    """The names of the namespaces that this process made and did not remove."""
    names = (line.split()[0] for line in _output("ip", "netns", "list").splitlines())
    return [name for name in names if name.startswith(_prefix())]


def _processes(name: str) -> dict[int, str]:
    found = {}
    for pid in map(int, _output("ip", "netns", "pids", name).split()):
        with contextlib.suppress(OSError):  # it has just ended
            found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def _kill_all(name: str) -> None:
    """Kill what runs in a namespace: it is there for the test only, and so is all that is in it."""
    deadline = time.monotonic() + PATIENCE_S
    while pids := _processes(name):
        assert time.monotonic() < deadline, f"processes in {name} cannot be killed: {pids}"
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _prefix() -> str:
    return f"ipl-{os.getpid()}-"


def _missing_programs(*names: str) -> str | None:
    if sys.platform != "linux":
        return "it needs Linux"
    missing = [name for name in names if shutil.which(name) is None]
    return f"no program named {' or '.join(missing)} (packages iproute2, util-linux)" if missing else None


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must be able to do this: {reason}")
    pytest.skip(reason)


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}"
    return done.stdout


def _wait_until_up(host: Namespace, link: str) -> None:
    """The kernel opens a link some time after the command; packets before that are lost."""
    deadline = time.monotonic() + PATIENCE_S
    while json.loads(host.ip(f"-json link show {link}"))[0]["operstate"] != "UP":
        assert time.monotonic() < deadline, f"link {link} of host {host.name} does not come up"


@contextlib.contextmanager
def _killed_after(seconds: float, process: subprocess.Popen[str]) -> Iterator[None]:
    watchdog = threading.Timer(seconds, process.kill)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        watchdog.join()
