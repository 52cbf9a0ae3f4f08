from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.addresses.host.local_ports import local_ports, port_shortage


@pytest.fixture
def port_range(tmp_path: Path) -> Path:
    """The path of the range; nothing is there yet."""
    return tmp_path / "ip_local_port_range"


# local_ports


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows its range")
def test_this_host_says_how_many_local_ports_it_has() -> None:
    assert 1 <= (local_ports() or 0) <= 65_536


@pytest.mark.parametrize(
    ("text", "ports"), [("32768\t60999\n", 28_232), ("40000 40099\n", 100), ("40000 40000", 1), ("1 65535", 65_535)]
)
def test_both_ends_of_the_range_are_ports(port_range: Path, text: str, ports: int) -> None:
    port_range.write_text(text)
    assert local_ports(port_range) == ports


@pytest.mark.parametrize(
    ("reserved", "ports"),
    [
        ("\n", 100),
        ("40000\n", 99),
        ("40010-40019\n", 90),
        ("40000,40010-40019,40099\n", 88),
        ("8080,9000-9100,50000\n", 100),
        ("39990-40009,40090-50000\n", 80),
        ("1-65535\n", 0),
    ],
)
def test_reserved_ports_are_not_counted(port_range: Path, reserved: str, ports: int) -> None:
    port_range.write_text("40000 40099\n")
    port_range.with_name("ip_local_reserved_ports").write_text(reserved)
    assert local_ports(port_range) == ports


def test_a_system_that_shows_no_range_says_nothing(port_range: Path) -> None:
    assert local_ports(port_range) is None


@pytest.mark.parametrize("text", ["", "40000", "40000 40099 1", "low high"])
def test_a_range_in_other_words_says_nothing(port_range: Path, text: str) -> None:
    port_range.write_text(text)
    assert local_ports(port_range) is None


def test_reserved_ports_in_other_words_say_nothing(port_range: Path) -> None:
    port_range.write_text("40000 40099\n")
    port_range.with_name("ip_local_reserved_ports").write_text("many")
    assert local_ports(port_range) is None


# port_shortage


@pytest.mark.parametrize(
    ("connections", "sources", "targets", "ports"),
    [(0, 1, 1, 0), (0, 1, 1, 100), (100, 1, 1, 100), (400, 1, 4, 100), (3200, 8, 4, 100), (199, 2, 1, 100)],
)
def test_enough_ports_are_no_problem(connections: int, sources: int, targets: int, ports: int) -> None:
    assert port_shortage(connections, sources, targets, ports) is None


@pytest.mark.parametrize(
    ("connections", "sources", "targets", "ports", "text"),
    [
        (
            101,
            *(1, 1, 100),
            "101 connections from 1 source address need 101 local ports for each, but there are 100 "
            "(1 target x 100 ports); use at least 2 source addresses, use fewer users, "
            "or widen net.ipv4.ip_local_port_range",
        ),
        (
            # One source has 401 of them and the other 400.
            801,
            *(2, 4, 100),
            "801 connections from 2 source addresses need 401 local ports for each, but there are 400 "
            "(4 targets x 100 ports); use at least 3 source addresses, use fewer users, "
            "or widen net.ipv4.ip_local_port_range",
        ),
        (
            60_000,
            *(1, 1, 28_232),
            "60 000 connections from 1 source address need 60 000 local ports for each, but there are 28 232 "
            "(1 target x 28 232 ports); use at least 3 source addresses, use fewer users, "
            "or widen net.ipv4.ip_local_port_range",
        ),
        (
            1,
            *(1, 2, 0),
            "1 connection from 1 source address need 1 local ports for each, but there are 0 "
            "(2 targets x 0 ports); free reserved ports, use fewer users, or widen net.ipv4.ip_local_port_range",
        ),
    ],
)
def test_a_shortage_shows_its_arithmetic_and_what_helps(
    connections: int, sources: int, targets: int, ports: int, text: str
) -> None:
    assert port_shortage(connections, sources, targets, ports) == text


@given(st.integers(1, 10**6), st.integers(1, 300), st.integers(1, 9), st.integers(1, 40_000))
def test_the_number_of_sources_that_is_named_is_the_smallest_that_is_enough(
    connections: int, sources: int, targets: int, ports: int
) -> None:
    text = port_shortage(connections, sources, targets, ports)
    if text is None:
        # Dealing them out one by one gives no source more than it has ports.
        assert (connections - 1) // sources + 1 <= targets * ports
        return
    enough = int(text.partition("at least ")[2].partition(" source")[0].replace(" ", ""))
    assert enough > sources
    assert port_shortage(connections, enough, targets, ports) is None
    assert port_shortage(connections, enough - 1, targets, ports) is not None


@pytest.mark.parametrize(
    ("connections", "sources", "targets", "ports"), [(-1, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, -1)]
)
def test_numbers_that_mean_nothing_are_refused(connections: int, sources: int, targets: int, ports: int) -> None:
    with pytest.raises(ValueError, match=f"connections={connections} .*sources={sources}"):
        port_shortage(connections, sources, targets, ports)
