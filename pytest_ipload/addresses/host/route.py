"""Whether this host has a route from a source address to a target, asked without sending anything."""

from __future__ import annotations

import errno
import ipaddress
import socket

from pytest_ipload.addresses.host.bind_source import bind_source
from pytest_ipload.addresses.host.probe import NOT_ON_THIS_HOST, how_to_add

_DISCARD = 9  # RFC 863. Nothing is sent, so any port would do.


def route_problem(source: str, target: str, port: int = _DISCARD, *, freebind: bool = False) -> str | None:
    """Why no connection can leave from ``source`` to ``target``, and what to do; None if nothing speaks against it.

    Both are IP addresses; if they are of different families there is nothing to say. To connect a UDP socket makes
    the kernel look up the route and sends no packet. So this knows what the own host knows: not whether the target
    answers, nor whether it has a route back. A broadcast address as the source is not noticed here; that takes a
    connection, see :func:`pytest_ipload.addresses.host.probe.unusable`. ``freebind`` is that of ``bind_source``.

    Raises ValueError if one is not an IP address, and OSError if no socket can be created.
    """
    version = ipaddress.ip_address(source).version
    if version != ipaddress.ip_address(target).version:
        return None
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    # With its zone: connect() would drop that of a link-local address.
    *_, destination = socket.getaddrinfo(target, port, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        call = "bind"
        try:
            bind_source(sock, source, freebind)
            call = "connect"
            sock.connect(destination)
        except OSError as error:
            return _explain(call, error, source, target)
        used = sock.getsockname()[0]
    if ipaddress.ip_address(used.partition("%")[0]) == ipaddress.ip_address(source.partition("%")[0]):
        return None
    return (
        f"source address {source} is not used to reach {target}: the kernel takes {used} instead; "
        "remove it from the IP pool"
    )


def _explain(call: str, error: OSError, source: str, target: str) -> str:
    code = errno.errorcode.get(error.errno or 0, str(error))
    remove = "remove it from the IP pool"
    if call == "bind":
        if error.errno != errno.EADDRNOTAVAIL:
            return f"source address {source} cannot be bound (bind: {code}); {remove}"
        command = how_to_add(source)
        add = f"add it with '{command}' or " if command else ""
        return f"source address {source} is {NOT_ON_THIS_HOST} (bind: {code}); {add}{remove}"
    if ipaddress.ip_address(source).is_loopback:
        return (
            f"source address {source} is a loopback address and can only reach this host, not {target} "
            f"(connect: {code}); {remove}, or load a target on this host"
        )
    return (
        f"no route from source address {source} to {target} (connect: {code}); look at "
        f"'ip route get {target} from {source}', add a route, or {remove}"
    )
