"""The processes of this host that serve a target: which of them listens at its port. Known on Linux only."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from pytest_ipload.addresses.host.own_listeners import Listener, Target, listeners

_PROC = Path("/proc")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MOST_PROCESSES = 32
"""Sampled at once; a server with more workers than that is sampled in part."""


class TargetNotFound(Exception):
    """No process of this host can be sampled. The text says why."""


def target_of(url: str) -> Target | None:
    """The address and the port of a URL, if it is an address of this host; None for another host.

    Names are looked up without asking the network: ``localhost``, and what a host's own file knows.
    """
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    if parts.hostname is None or port is None:
        return None
    if parts.hostname == "localhost":
        return "127.0.0.1", port
    with suppress(ValueError):
        address = ipaddress.ip_address(parts.hostname)
        return (str(address), port) if _is_local(address) else None
    return None


def _is_local(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether this host has the address: whether a socket can be bound to it."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((str(address), 0))
        return True
    return False


def serving(ports: Collection[int], proc: Path = _PROC) -> list[int]:
    """The processes that listen at one of the ports, with their descendants.

    Raises TargetNotFound if there is none, or if it is this process.
    """
    inodes = {each.inode for each in _listening(proc) if each.port in ports}
    holders = {pid for pid in _pids(proc) if inodes and _sockets(proc, pid) & inodes}
    where = " or ".join(map(str, sorted(ports))) or "an unknown one"
    if os.getpid() in holders:
        raise TargetNotFound(f"the target at port {where} runs in this process; start it as a process of its own")
    if not holders:
        raise TargetNotFound(
            f"no process of this host that this user can see listens at port {where}; "
            "--ipload-explain=PID names the target's process"
        )
    return family_of(holders, proc)


def family_of(pids: Iterable[int], proc: Path = _PROC) -> list[int]:
    """These processes and their descendants that run, without this one."""
    parents = {pid: parent for pid in _pids(proc) if (parent := _parent(proc, pid)) is not None}
    found = {pid for pid in pids if pid in parents or not parents}
    while True:
        children = {pid for pid, parent in parents.items() if parent in found} - found
        if not children:
            return sorted(found - {os.getpid()})[:_MOST_PROCESSES]
        found |= children


def chosen(given: Sequence[int], ports: Collection[int], proc: Path = _PROC) -> list[int]:
    """Of the given processes those that serve the ports, with their descendants; all of them if none is known to.

    Raises TargetNotFound if none of them runs.
    """
    alive = [pid for pid in given if _runs(pid, proc)]
    if not alive:
        listed = ", ".join(map(str, given))
        raise TargetNotFound(f"process {listed} does not run" if len(given) == 1 else f"none of {listed} runs")
    inodes = {each.inode for each in _listening(proc) if each.port in ports}
    families = {pid: family_of([pid], proc) for pid in alive}
    serving_ones = [pid for pid, family in families.items() if any(_sockets(proc, each) & inodes for each in family)]
    return sorted({each for pid in serving_ones or alive for each in families[pid]})[:_MOST_PROCESSES]


def working_folder(pid: int, proc: Path = _PROC) -> str:
    """The working directory of a process; empty where it is not known."""
    try:
        return os.readlink(proc / str(pid) / "cwd")
    except OSError:
        return ""


def _runs(pid: int, proc: Path) -> bool:
    if proc.exists():
        return (proc / str(pid)).exists()
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _listening(proc: Path) -> list[Listener]:
    found: list[Listener] = []
    for name in ("tcp", "tcp6"):
        with suppress(OSError, ValueError, IndexError), (proc / "self" / "net" / name).open() as table:
            found += listeners(table)
    return found


def _pids(proc: Path) -> list[int]:
    try:
        return [int(name) for name in os.listdir(proc) if name.isdecimal()]
    except OSError:
        return []


def _sockets(proc: Path, pid: int) -> set[str]:
    """The inodes of a process's sockets; none where it is another user's, or has ended."""
    inodes = set()
    with suppress(OSError):
        folder = proc / str(pid) / "fd"
        for descriptor in os.listdir(folder):
            with suppress(OSError):
                kind, _, number = os.readlink(folder / descriptor).partition(":")
                if kind == "socket":
                    inodes.add(number.strip("[]"))
    return inodes


def _parent(proc: Path, pid: int) -> int | None:
    """From the fields behind the command's name, which may contain anything: state, parent, ..."""
    with suppress(OSError, ValueError, IndexError):
        text = (proc / str(pid) / "stat").read_text(errors="replace")
        return int(text.rpartition(")")[2].split()[1])
    return None
