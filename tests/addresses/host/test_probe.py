from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from typing import Any

import pytest

from pytest_ipload.addresses.host import probe
from pytest_ipload.addresses.host.netlink import Routes
from pytest_ipload.addresses.host.probe import (
    Unusable,
    how_to_add,
    how_to_route,
    interface_addresses,
    interfaces,
    unusable,
)
from pytest_ipload.base.errors import PoolError

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is local on Linux only")
BROADCAST = "broadcast or multicast (the kernel uses 127.0.0.1 instead)"


def in_namespace(*commands: str, run: str) -> Any:
    """What a Python expression over the probe's names gives in a network namespace that commands have set up."""
    code = f"import json; from pytest_ipload.addresses.host.probe import *; print(json.dumps({run}))"
    script = "\n".join(["set -e", *commands, 'exec "$0" -W error -c "$1"'])
    done = _run([*namespace_command(), "sh", "-c", script, sys.executable, code])
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def namespace_command() -> list[str]:
    """The command that runs another one in a network namespace of its own; skips the test where there is none."""
    missing = [program for program in ("unshare", "ip") if shutil.which(program) is None]
    reason = f"no program named {' or '.join(missing)}"
    # Without privileges a user namespace is needed, which some systems forbid; root can do without.
    for command in [] if missing else [["unshare", "-Urn"], ["unshare", "-n"]]:
        attempt = _run([*command, "ip", "link", "set", "lo", "up"])
        if attempt.returncode == 0:
            return command
        reason = attempt.stderr.strip()
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must be able to make a network namespace: {reason}")
    pytest.skip(f"no network namespace: {reason}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# Usable as a source?


@linux_only
def test_each_address_of_this_host_is_usable() -> None:
    assert unusable(["127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "::1"]) == []


@linux_only
@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.255.255.255", BROADCAST),
        ("255.255.255.255", BROADCAST),
        ("224.0.0.1", BROADCAST),
        ("ff02::1", "not usable as a source (bind: Invalid argument)"),
        ("203.0.113.7", "not on this host"),
        ("2001:db8::7", "not on this host"),
    ],
)
def test_an_address_that_the_kernel_does_not_use_is_found(address: str, reason: str) -> None:
    assert unusable(["127.0.0.2", address, "::1"]) == [Unusable(address, reason)]


def test_of_no_addresses_none_is_unusable() -> None:
    assert unusable([]) == []


@linux_only
def test_4096_addresses_are_checked_one_by_one_in_a_moment() -> None:
    addresses = [f"127.3.{high}.{low}" for high in range(16) for low in range(256)]
    addresses[2000] = "127.255.255.255"
    started = time.perf_counter()
    assert unusable(addresses) == [Unusable("127.255.255.255", BROADCAST)]
    assert time.perf_counter() - started < 5  # 0.2 s on a quiet machine


@linux_only
def test_the_check_leaves_nothing_behind() -> None:
    def connections() -> list[str]:
        with open("/proc/net/tcp") as table:
            return [line for line in table if "1704047F" in line]  # 127.4.4.23, in the kernel's spelling

    with socket.socket() as held:
        held.bind(("127.4.4.23", 0))
        held.listen()
        assert len(connections()) == 1  # the address is looked for as the kernel writes it
    descriptors = len(os.listdir("/proc/self/fd"))
    unusable(["127.4.4.23", "203.0.113.7", "127.255.255.255"])
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert connections() == []


class CountingSocket(socket.socket):
    """A socket that writes down which sources were bound and which of them connected."""

    bound: list[str]
    connected: list[str]

    def bind(self, address: Any) -> None:
        self.bound.append(address[0])
        super().bind(address)

    def connect(self, address: Any) -> None:
        self.connected.append(self.getsockname()[0])
        super().connect(address)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[CountingSocket]:
    monkeypatch.setattr(CountingSocket, "bound", [], raising=False)
    monkeypatch.setattr(CountingSocket, "connected", [], raising=False)
    monkeypatch.setattr(socket, "socket", CountingSocket)
    return CountingSocket


LISTENERS = ["127.0.0.1", "::1"]


@linux_only
def test_of_many_addresses_all_bind_and_the_ends_of_each_run_connect(
    monkeypatch: pytest.MonkeyPatch, counted: type[CountingSocket]
) -> None:
    monkeypatch.setattr(probe, "MAX_SELF_CONNECTS", 12)
    near = [f"127.5.0.{low}" for low in range(1, 9)]
    far = [f"127.6.0.{low}" for low in range(10, 31, 5)]  # as in a shard
    addresses = [*near, "::1", *far, "203.0.113.7"]
    assert unusable(addresses) == [Unusable("203.0.113.7", "not on this host")]
    assert counted.bound == [*LISTENERS, *addresses]
    assert counted.connected == ["127.5.0.1", "127.5.0.8", "::1", "127.6.0.10", "127.6.0.30"]


@linux_only
def test_the_number_of_connections_is_bounded_for_scattered_addresses(
    monkeypatch: pytest.MonkeyPatch, counted: type[CountingSocket]
) -> None:
    monkeypatch.setattr(probe, "MAX_SELF_CONNECTS", 5)
    addresses = [f"127.7.0.{number * number % 251}" for number in range(1, 12)]
    assert unusable(addresses) == []
    assert counted.bound == [*LISTENERS, *addresses]
    assert len(counted.connected) == 4


@linux_only
def test_up_to_the_limit_every_address_connects(monkeypatch: pytest.MonkeyPatch, counted: type[CountingSocket]) -> None:
    monkeypatch.setattr(probe, "MAX_SELF_CONNECTS", 8)
    addresses = [f"127.5.0.{low}" for low in range(1, 9)]
    assert unusable(addresses) == []
    assert counted.connected == addresses


@linux_only
def test_an_impatient_check_gives_the_rest_back_as_not_checked() -> None:
    reason = "not checked (the check timed out after 0 s)"
    assert unusable(["127.0.0.1", "::1"], patience=0) == [Unusable("127.0.0.1", reason), Unusable("::1", reason)]


def refusing_sockets(monkeypatch: pytest.MonkeyPatch, code: int, *families: int) -> None:
    """Make the system refuse to open sockets of these families."""
    real = socket.socket

    def open_socket(family: int, *rest: int, **named: int) -> socket.socket:
        if family in families:
            raise OSError(code, os.strerror(code))
        return real(family, *rest, **named)

    monkeypatch.setattr(socket, "socket", open_socket)


def test_a_host_without_ipv6_has_no_usable_ipv6_address(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing_sockets(monkeypatch, errno.EAFNOSUPPORT, socket.AF_INET6)
    assert unusable(["127.0.0.1", "::1"]) == [Unusable("::1", "of an IP family that this host does not support")]


def test_a_process_that_may_not_open_sockets_cannot_check(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing_sockets(monkeypatch, errno.EMFILE, socket.AF_INET, socket.AF_INET6)
    with pytest.raises(PoolError, match=r"\Aip pool: cannot check 127\.0\.0\.1 \(.*Too many open files\)\Z"):
        unusable(["127.0.0.1"])


@linux_only
def test_without_a_loopback_listener_the_bind_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_LOOPBACKS", dict.fromkeys((socket.AF_INET, socket.AF_INET6), "203.0.113.1"))
    assert unusable(["127.0.0.1", "203.0.113.7"]) == [Unusable("203.0.113.7", "not on this host")]


@linux_only
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError("timed out"), "timed out"),
        # No port is free. From bind the same number means that the address is not on this host.
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "Cannot assign requested address"),
    ],
)
def test_a_source_that_cannot_connect_is_unusable(monkeypatch: pytest.MonkeyPatch, error: OSError, words: str) -> None:
    class StuckSocket(socket.socket):
        def connect(self, address: Any) -> None:
            raise error

    monkeypatch.setattr(socket, "socket", StuckSocket)
    assert unusable(["127.0.0.1"]) == [Unusable("127.0.0.1", f"not usable as a source (connect: {words})")]


# Interfaces


@linux_only
def test_the_loopback_interface_has_its_addresses() -> None:
    assert "lo" in interfaces()
    assert "127.0.0.1" in interface_addresses("lo")


@linux_only
def test_an_unknown_interface_is_refused_with_those_that_exist() -> None:
    for name in ("nosuch0", "", "lo\0", "\udcff"):
        with pytest.raises(PoolError, match=r"no interface .* \(interfaces of this host: lo\b"):
            interface_addresses(name)


def test_other_systems_have_no_interface_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
    with pytest.raises(PoolError, match=r"\Ainterface names need Linux; list the addresses\Z"):
        interface_addresses("lo")


@linux_only
def test_a_sandbox_without_netlink_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing_sockets(monkeypatch, errno.EPERM, socket.AF_NETLINK)
    with pytest.raises(PoolError, match=r"addresses of interface 'lo' cannot be read .*not permitted.*; list them"):
        interface_addresses("lo")


@linux_only
def test_an_error_message_of_the_kernel_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class RefusingNetlink(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            return struct.pack("=IHHII", 36, 2, 0, 1, 0) + struct.pack("=i", -errno.EACCES) + bytes(16)

    monkeypatch.setattr(socket, "socket", RefusingNetlink)
    with pytest.raises(PoolError, match=r"cannot be read \(.*Permission denied\)"):
        interface_addresses("lo")


@pytest.mark.parametrize(
    ("system", "address", "command"),
    [
        ("linux", "10.0.0.7", "ip addr add 10.0.0.7/32 dev lo"),
        ("linux", "2001:db8::7", "ip addr add 2001:db8::7/128 dev lo"),
        ("darwin", "10.0.0.7", "sudo ifconfig lo0 alias 10.0.0.7"),
        ("darwin", "2001:db8::7", "sudo ifconfig lo0 inet6 alias 2001:db8::7"),
        ("win32", "10.0.0.7", ""),
    ],
)
def test_each_system_has_its_command_to_add_an_address(
    monkeypatch: pytest.MonkeyPatch, system: str, address: str, command: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert how_to_add(address) == command


# In a network namespace

LO_UP = "ip link set lo up"


def test_secondary_addresses_are_usable_and_their_subnet_broadcast_is_not() -> None:
    found = in_namespace(
        LO_UP,
        "ip addr add 10.77.0.5/24 dev lo",
        "ip addr add 10.77.0.6/24 dev lo",
        "ip addr add 2001:db8::5/64 dev lo",
        run="unusable(['10.77.0.5', '10.77.0.6', '10.77.0.255', '10.78.0.1', '2001:db8::5', '2001:db8::6'])",
    )
    assert found == [
        ["10.77.0.255", BROADCAST],
        ["10.78.0.1", "not on this host"],
        ["2001:db8::6", "not on this host"],
    ]


def test_addresses_that_a_local_route_gives_are_usable() -> None:
    route = "ip route add local 10.1.0.0/16 dev lo"
    assert in_namespace(LO_UP, route, run="unusable(['10.1.0.0', '10.1.2.3', '10.1.255.255'])") == []


def test_a_foreign_address_that_may_be_bound_is_not_usable_all_the_same() -> None:
    (found,) = in_namespace(
        LO_UP, "echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind", run="unusable(['127.0.0.2', '203.0.113.7'])"
    )
    assert found == ["203.0.113.7", "not usable as a source (connect: Network is unreachable)"]


def test_an_interface_has_all_its_addresses_of_both_families() -> None:
    found = in_namespace(
        LO_UP,
        "ip link add left type veth peer name right",
        "ip link set left up",
        "ip addr add 10.77.0.5/24 dev left",
        "ip addr add 10.77.0.6/24 dev left",
        "ip addr add 10.99.0.1 peer 10.99.0.2/32 dev left",
        "ip addr add 10.66.0.1/24 dev right",
        "ip addr add 2001:db8::5/64 dev left nodad",
        run="[interfaces(), interface_addresses('left'), interface_addresses('right'), interface_addresses('lo')]",
    )
    names, left, right, loopback = found
    assert {"lo", "left", "right"} <= set(names)
    assert set(left) >= {"10.77.0.5", "10.77.0.6", "10.99.0.1", "2001:db8::5"}
    assert all(
        address.startswith("fe80:") for address in set(left) - {"10.77.0.5", "10.77.0.6", "10.99.0.1", "2001:db8::5"}
    )
    assert right == ["10.66.0.1"]
    assert loopback == ["127.0.0.1", "::1"]


def test_thousands_of_addresses_of_an_interface_are_read() -> None:
    batch = (
        'i=0; while [ $i -lt 2000 ]; do echo "addr add 10.70.$((i / 250)).$((i % 250))/32 dev lo"; i=$((i + 1)); done'
    )
    count = in_namespace(LO_UP, f"{{ {batch}; }} | ip -batch -", run="len(set(interface_addresses('lo')))")
    assert count == 2002


# Free-bind addresses

ANYIP = "ip -6 route add local 2001:db8::/64 dev lo"


@linux_only
def test_a_free_bind_address_is_usable_if_it_is_routed_to_this_host() -> None:
    addresses = ["127.0.0.2", "203.0.113.7", "2001:db8::7", "::1"]
    found = [Unusable(address, "not routed to this host") for address in ("203.0.113.7", "2001:db8::7")]
    started = time.perf_counter()
    assert unusable(addresses, freebind=addresses) == found
    assert unusable(addresses, freebind=["203.0.113.7"]) == [found[0], Unusable("2001:db8::7", "not on this host")]
    assert time.perf_counter() - started < 5  # milliseconds; to wait for an answer takes longer


@linux_only
def test_a_broadcast_address_is_not_routed_to_this_host() -> None:
    found = unusable(["127.255.255.255"], freebind=["127.255.255.255"])
    assert found == [Unusable("127.255.255.255", "not routed to this host")]


@linux_only
@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT])
def test_where_the_kernel_does_not_tell_a_free_bind_address_has_to_connect(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    refusing_sockets(monkeypatch, code, socket.AF_NETLINK)
    monkeypatch.setattr(probe, "MAX_SELF_CONNECTS", 2)  # also beyond the limit
    monkeypatch.setattr(probe, "_CONNECT_TIMEOUT_S", 0.05)
    addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "198.51.100.1", "2001:db8::7", "127.0.0.5", "127.0.0.6"]
    found = {fault.address: fault.reason for fault in unusable(addresses, freebind=set(addresses))}
    assert found["2001:db8::7"] == "not routed to this host"
    assert "198.51.100.1" in found
    assert len(found) == 2


@linux_only
@pytest.mark.parametrize(("answer", "local"), [(errno.EPERM, None), (errno.EOPNOTSUPP, None), (errno.EACCES, False)])
def test_a_refusal_is_told_from_the_answer_no(monkeypatch: pytest.MonkeyPatch, answer: int, local: bool | None) -> None:
    class RefusingNetlink(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            super().recv(size)
            return struct.pack("=IHHII", 36, 2, 0, 1, 0) + struct.pack("=i", -answer) + bytes(16)

    monkeypatch.setattr(socket, "socket", RefusingNetlink)
    with Routes() as routes:
        assert routes.is_local("127.0.0.1") is local


@linux_only
def test_a_kernel_that_never_answers_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class SilentNetlink(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            asked.append(size)
            raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "socket", SilentNetlink)
    with Routes() as routes:
        assert [routes.is_local("127.0.0.1") for _ in range(3)] == [None] * 3
    assert len(asked) == 1


@linux_only
def test_an_answer_to_an_earlier_question_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class LateNetlink(socket.socket):
        late = True

        def recv(self, size: int, flags: int = 0) -> bytes:
            if self.late:
                self.late = False
                return struct.pack("=IHHII", 36, 2, 0, 77, 0) + struct.pack("=i", -errno.ENETUNREACH) + bytes(16)
            return super().recv(size)

    monkeypatch.setattr(socket, "socket", LateNetlink)
    with Routes() as routes:
        assert routes.is_local("127.0.0.1") is True


def test_other_systems_do_not_tell_what_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
    with Routes() as routes:
        assert routes.is_local("127.0.0.1") is None


@linux_only
@pytest.mark.parametrize("address", ["127.0.0.9", "::1", "203.0.113.7", "2001:db8::7", "127.255.255.255"])
def test_only_what_stays_on_this_host_is_local(address: str) -> None:
    with Routes() as routes:
        assert routes.is_local(address) is (address in ("127.0.0.9", "::1"))


def test_an_ipv6_network_with_a_local_route_is_usable_as_free_bind_only() -> None:
    addresses = "['2001:db8::5', '2001:db8::ffff', '2001:db9::5', '2001:db8::7']"
    plain, freebind, mixed = in_namespace(
        LO_UP,
        ANYIP,
        "ip addr add 2001:db8::7/128 dev lo",
        run=f"[unusable({addresses}), unusable({addresses}, freebind={addresses}), "
        f"unusable({addresses}, freebind=['2001:db8::5'])]",
    )
    by_route = "on this host by a local route only"
    absent = ["2001:db9::5", "not on this host"]
    assert plain == [["2001:db8::5", by_route], ["2001:db8::ffff", by_route], absent]
    assert freebind == [["2001:db9::5", "not routed to this host"]]
    assert mixed == [["2001:db8::ffff", by_route], absent]


def test_an_ipv4_network_with_a_local_route_is_usable_either_way() -> None:
    addresses = "['10.1.0.0', '10.1.255.255', '10.2.0.1']"
    plain, freebind = in_namespace(
        LO_UP,
        "ip route add local 10.1.0.0/16 dev lo",
        run=f"[unusable({addresses}), unusable({addresses}, freebind={addresses})]",
    )
    assert plain == [["10.2.0.1", "not on this host"]]
    assert freebind == [["10.2.0.1", "not routed to this host"]]


def test_a_route_elsewhere_or_nowhere_is_not_local() -> None:
    elsewhere = ["2001:db8:2::1", "2001:db8:3::1", "2001:db8:4::1", "10.3.0.1"]
    found = in_namespace(
        LO_UP,
        "ip link add left type veth peer name right",
        "ip addr add 2001:db8:1::1/64 dev left nodad",
        "ip link set left up",
        "ip -6 route add 2001:db8:2::/64 dev left",
        "ip -6 route add unreachable 2001:db8:3::/64",
        "ip -6 route add blackhole 2001:db8:4::/64",
        "ip route add prohibit 10.3.0.0/16",
        run=f"unusable({['2001:db8:1::1', *elsewhere]}, freebind={['2001:db8:1::1', *elsewhere]})",
    )
    assert found == [[address, "not routed to this host"] for address in elsewhere]


def test_thousands_of_free_bind_addresses_are_checked_in_a_moment() -> None:
    seconds, found = in_namespace(
        LO_UP,
        ANYIP,
        run="(lambda addresses, start: (unusable(addresses, freebind=set(addresses)), real_time.monotonic() - start)"
        "[::-1])([f'2001:db8::{number:x}' for number in range(1, 10_001)], real_time.monotonic())",
    )
    assert found == []
    assert seconds < 20  # 0.6 s on a quiet machine


@pytest.mark.parametrize(
    ("network", "command"),
    [
        ("2001:db8::/64", "ip -6 route add local 2001:db8::/64 dev lo"),
        ("10.1.0.0/16", "ip route add local 10.1.0.0/16 dev lo"),
    ],
)
def test_each_family_has_its_command_to_route_a_network(network: str, command: str) -> None:
    assert how_to_route(network) == command
