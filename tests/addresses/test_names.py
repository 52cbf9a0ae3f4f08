from __future__ import annotations

import re

import pytest

from pytest_ipload.addresses import names
from pytest_ipload.addresses.host.probe import interfaces
from pytest_ipload.addresses.names import parse_named_pools, resolve_pool
from pytest_ipload.base.errors import PoolError


@pytest.fixture(autouse=True)
def host_interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "interfaces", lambda: ["lo", "eth0"])


def test_each_line_names_a_pool() -> None:
    lines = ["a = 10.0.0.0/24", "", "  Shop-2_x=10.1.0.1, eth0 ", "file = @dir/a=b.txt"]
    assert parse_named_pools(lines) == {"a": "10.0.0.0/24", "Shop-2_x": "10.1.0.1, eth0", "file": "@dir/a=b.txt"}
    assert parse_named_pools([]) == {}


NOT_A_NAME = "is not a name; it has letters, digits, '-' and '_' only, and starts with a letter"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("10.0.0.0/24", "there is no '='; write name = SPEC, as in checkout = 10.0.0.0/24"),
        ("other =", "no address follows; write name = SPEC, as in checkout = 10.0.0.0/24"),
        ("= 10.0.0.1", f"'' {NOT_A_NAME}"),
        ("2nd = 10.0.0.1", f"'2nd' {NOT_A_NAME}"),
        ("-x = 10.0.0.1", f"'-x' {NOT_A_NAME}"),
        ("a b = 10.0.0.1", f"'a b' {NOT_A_NAME}"),
        ("a.b = 10.0.0.1", f"'a.b' {NOT_A_NAME}"),
        ("größe = 10.0.0.1", f"'größe' {NOT_A_NAME}"),
        ("good = 10.0.0.2", "the name 'good' is used twice (first for '10.0.0.1'); use another name"),
        ("eth0 = 10.0.0.2", "'eth0' is also an interface of this host, so it is ambiguous; use another name"),
    ],
)
def test_a_bad_line_is_named_with_its_cause(line: str, cause: str) -> None:
    with pytest.raises(PoolError, match=rf"\A{re.escape(f'named ip pool, line {line!r}: {cause}')}\Z"):
        parse_named_pools(["good = 10.0.0.1", line])


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        (" shop ", "10.0.0.0/24"),
        ("10.0.0.7", "10.0.0.7"),
        ("freebind:2001:db8::/64", "freebind:2001:db8::/64"),
        ("eth0", "eth0"),
        ("shop, eth0", "shop, eth0"),
        ("@pool.txt", "@pool.txt"),
        ("2001:db8::1", "2001:db8::1"),
        ("br-10.5", "br-10.5"),  # no pool can have this name; whether an interface has it is the pool's to say
        ("localhost", "localhost"),  # the same: the pool says what to write
    ],
)
def test_a_setting_is_the_name_of_a_pool_or_a_spec(text: str, spec: str) -> None:
    assert resolve_pool(text, {"shop": "10.0.0.0/24"}) == spec


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"shop": "10.0.0.1", "api": "10.0.0.2"}, "the named pools are shop, api"),
        ({}, "there are no named pools (ini key ipload_pools)"),
    ],
)
def test_an_unknown_name_is_refused_with_those_that_exist(named: dict[str, str], words: str) -> None:
    message = (
        f"ip pool 'shopp': neither a named pool nor an interface; {words}, and the interfaces of this host are lo, eth0"
    )
    with pytest.raises(PoolError, match=rf"\A{re.escape(message)}\Z"):
        resolve_pool("shopp", named)


def test_the_interfaces_are_those_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    own = interfaces()[0]
    with pytest.raises(PoolError, match="is also an interface"):
        parse_named_pools([f"{own} = 10.0.0.1"])
    assert resolve_pool(own, {}) == own
