"""How many connections the local ports of this host allow, before the load finds out.

A TCP connection is named by both its ends. So each source address has the whole range of local ports for each
target (address and port), as ``bind_source`` leaves the choice of the port to ``connect``.
"""

from __future__ import annotations

from pathlib import Path

from pytest_ipload.base.units import format_count

PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Where Linux shows its range of local ports, for IPv4 and IPv6; the reserved ones stand beside it."""


def local_ports(path: Path = PORT_RANGE) -> int | None:
    """How many local ports the kernel chooses from: the size of its range, without the reserved ports in it.

    The reserved ports are those of ``ip_local_reserved_ports`` in the same directory, where there is such a file.
    None if the system does not say, as on macOS and Windows.
    """
    try:
        low, high = map(int, path.read_text().split())
        reserved = _reserved_ports(path.with_name("ip_local_reserved_ports"))
    except (OSError, ValueError):
        return None
    return len(range(low, high + 1)) - sum(low <= port <= high for port in reserved)


def _reserved_ports(path: Path) -> set[int]:
    """The ports of a kernel's list such as ``8080,9148-9150``. Raises ValueError on any other text."""
    if not path.exists():
        return set()
    ports: set[int] = set()
    for item in filter(None, path.read_text().strip().split(",")):
        first, _, last = item.partition("-")
        ports.update(range(int(first), int(last or first) + 1))
    return ports


def port_shortage(connections: int, sources: int, targets: int, ports: int) -> str | None:
    """Why ``connections`` cannot be open at the same time, and what to do; None if the ports are enough.

    ``connections`` is their number over all sources and targets: users times the connections that each keeps open.
    They are spread evenly over ``sources`` (1 where the system chooses the address); ``targets`` are distinct pairs
    of address and port; ``ports`` is what ``local_ports`` returns. A connection that was closed by this side still
    holds its port for a minute, so a load that does not keep connections alive needs more than this.

    Raises ValueError for a negative number, or if there is no source or no target.
    """
    if min(connections, ports) < 0 or min(sources, targets) < 1:
        raise ValueError(
            f"connections={connections} and ports={ports} must be 0 or more, "
            f"sources={sources} and targets={targets} 1 or more"
        )
    wanted, available = _divide_up(connections, sources), targets * ports
    if wanted <= available:
        return None
    enough = f"use at least {format_count(_divide_up(connections, available))} source addresses" if available else ""
    return (
        f"{_counted(connections, 'connection')} from {_counted(sources, 'source address')} need "
        f"{format_count(wanted)} local ports for each, but there are {format_count(available)} "
        f"({_counted(targets, 'target')} x {_counted(ports, 'port')}); "
        f"{enough or 'free reserved ports'}, use fewer users, or widen net.ipv4.ip_local_port_range"
    )


def _divide_up(number: int, by: int) -> int:
    return -(-number // by)


def _counted(number: int, noun: str) -> str:
    plural = noun if number == 1 else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{format_count(number)} {plural}"
