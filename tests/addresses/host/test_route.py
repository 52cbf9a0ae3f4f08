from __future__ import annotations

import socket
import sys

import pytest
from support.namespace import lone_host

from pytest_ipload.addresses.host import route
from pytest_ipload.addresses.host.route import route_problem

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is local on Linux only")


@linux_only
@pytest.mark.parametrize(
    ("source", "target"), [("127.0.0.1", "127.0.0.1"), ("127.0.0.5", "127.0.0.6"), ("::1", "::1"), ("::1", "0::1")]
)
def test_a_target_that_the_source_can_reach_is_no_problem(source: str, target: str) -> None:
    assert route_problem(source, target) is None


@pytest.mark.parametrize(("source", "target"), [("127.0.0.1", "2001:db8::1"), ("::1", "203.0.113.1")])
def test_of_different_families_there_is_nothing_to_say(source: str, target: str) -> None:
    assert route_problem(source, target) is None


@pytest.mark.parametrize(("source", "target"), [("localhost", "127.0.0.1"), ("127.0.0.1", "localhost"), ("", "::1")])
def test_names_are_refused(source: str, target: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        route_problem(source, target)


@linux_only
def test_nothing_is_sent() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
        target.bind(("127.0.0.1", 0))
        target.setblocking(False)
        assert route_problem("127.0.0.1", "127.0.0.1", target.getsockname()[1]) is None
        with pytest.raises(BlockingIOError):
            target.recv(1)


@linux_only
def test_an_address_of_another_host_can_be_added() -> None:
    assert route_problem("203.0.113.7", "127.0.0.1") == (
        "source address 203.0.113.7 is not on this host (bind: EADDRNOTAVAIL); "
        "add it with 'ip addr add 203.0.113.7/32 dev lo' or remove it from the IP pool"
    )


def test_no_command_is_named_where_none_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "how_to_add", lambda address: "")
    assert route_problem("203.0.113.7", "127.0.0.1") == (
        "source address 203.0.113.7 is not on this host (bind: EADDRNOTAVAIL); remove it from the IP pool"
    )


@linux_only
def test_an_address_that_no_socket_takes_is_named() -> None:
    assert route_problem("ff02::1", "::1") == (
        "source address ff02::1 cannot be bound (bind: EINVAL); remove it from the IP pool"
    )


@linux_only
@pytest.mark.parametrize(("source", "target", "used"), [("0.0.0.0", "127.0.0.1", "127.0.0.1"), ("::", "::1", "::1")])
def test_a_source_that_the_kernel_replaces_is_a_problem(source: str, target: str, used: str) -> None:
    assert route_problem(source, target) == (
        f"source address {source} is not used to reach {target}: the kernel takes {used} instead; "
        "remove it from the IP pool"
    )


def no_route(source: str, target: str, code: str) -> str:
    return (
        f"no route from source address {source} to {target} (connect: {code}); look at "
        f"'ip route get {target} from {source}', add a route, or remove it from the IP pool"
    )


def only_this_host(source: str, target: str, code: str) -> str:
    return (
        f"source address {source} is a loopback address and can only reach this host, not {target} "
        f"(connect: {code}); remove it from the IP pool, or load a target on this host"
    )


def problems(pairs: list[tuple[str, str]], freebind: bool = False) -> list[str | None]:
    return [route_problem(source, target, freebind=freebind) for source, target in pairs]


def test_the_routes_of_a_host_decide() -> None:
    expected = {
        ("10.77.0.1", "10.77.0.2"): None,
        ("10.77.0.1", "127.0.0.1"): None,
        ("10.77.0.1", "192.0.2.1"): no_route("10.77.0.1", "192.0.2.1", "ENETUNREACH"),
        ("10.77.0.1", "198.51.100.1"): no_route("10.77.0.1", "198.51.100.1", "EHOSTUNREACH"),
        ("10.77.0.1", "203.0.113.1"): no_route("10.77.0.1", "203.0.113.1", "EINVAL"),
        ("10.50.3.7", "10.77.0.2"): None,
        ("127.0.0.5", "10.77.0.2"): only_this_host("127.0.0.5", "10.77.0.2", "EINVAL"),
        ("2001:db8:1::1", "2001:db8:1::2"): None,
        ("2001:db8:1::1", "2001:db8:2::2"): no_route("2001:db8:1::1", "2001:db8:2::2", "ENETUNREACH"),
        ("2001:db8:1::1", "fe80::2%one"): None,
    }
    with lone_host() as host:
        host.ip("link add one type veth peer name two")
        host.ip("addr add 10.77.0.1/24 dev one")
        host.ip("addr add 2001:db8:1::1/64 dev one nodad")
        host.ip("link set one up")
        host.ip("link set two up")
        host.ip("route add unreachable 198.51.100.0/24")
        host.ip("route add blackhole 203.0.113.0/24")
        host.ip("route add local 10.50.0.0/16 dev lo")
        assert dict(zip(expected, host.call(problems, list(expected)), strict=True)) == expected


def test_a_free_bind_source_is_bound_as_such() -> None:
    pair = ("2001:db8:50::7", "2001:db8:50::8")
    with lone_host() as host:
        host.ip("-6 route add local 2001:db8:50::/64 dev lo")
        (problem,) = host.call(problems, [pair])
        assert problem.startswith("source address 2001:db8:50::7 is not on this host (bind: EADDRNOTAVAIL)")
        assert host.call(problems, [pair], True) == [None]
