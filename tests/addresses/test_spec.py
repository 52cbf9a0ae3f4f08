from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ipload.addresses import spec as spec_module
from pytest_ipload.addresses.spec import AddressBlock, address_text, check_text, parse_spec
from pytest_ipload.base.errors import PoolError

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="free-bind addresses need Linux")

INTERFACES = {
    "eth0": ["10.9.0.1", "10.9.0.2", "2001:db8:9::1", "fe80::1", "169.254.1.1"],
    "br-10.5": ["10.8.0.1"],
    "eth1": ["10.7.0.1", "10.7.0.1"],
    "bare0": ["fe80::2"],
}


def addresses_of(name: str) -> Sequence[str]:
    try:
        return INTERFACES[name]
    except KeyError:
        raise PoolError(f"no interface {name!r} (this host has eth0, br-10.5)") from None


def parse(spec: str, base: Path = Path("/nowhere")) -> tuple[AddressBlock, ...]:
    return parse_spec(spec, base=base, interface_addresses=addresses_of)


def expand(spec: str, base: Path = Path("/nowhere")) -> list[str]:
    return [block[index] for block in parse(spec, base) for index in range(len(block))]


@pytest.mark.parametrize(
    ("spec", "addresses"),
    [
        ("10.0.0.5", ["10.0.0.5"]),
        ("2001:DB8:0::1", ["2001:db8::1"]),
        ("10.0.0.254-10.0.1.1", ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]),
        ("10.0.0.5 - 10.0.0.6", ["10.0.0.5", "10.0.0.6"]),
        ("10.0.0.5-10.0.0.5", ["10.0.0.5"]),
        ("2001:db8::ffff-2001:db8::1:0", ["2001:db8::ffff", "2001:db8::1:0"]),
        ("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.4/31", ["10.0.0.4", "10.0.0.5"]),
        ("10.0.0.5/32", ["10.0.0.5"]),
        ("127.0.1.0/28", [f"127.0.1.{n}" for n in range(1, 15)]),
        ("2001:db8::/126", ["2001:db8::1", "2001:db8::2", "2001:db8::3"]),
        ("2001:db8::4/127", ["2001:db8::4", "2001:db8::5"]),
        ("2001:db8::5/128", ["2001:db8::5"]),
        ("::e000:1", ["::e000:1"]),  # as a number it would be IPv4 multicast
        ("eth0", ["10.9.0.1", "10.9.0.2", "2001:db8:9::1"]),
        ("br-10.5", ["10.8.0.1"]),
        ("eth1", ["10.7.0.1"]),
        (" 10.0.0.9 ,\t2001:db8::1, 10.0.0.1\n", ["10.0.0.9", "2001:db8::1", "10.0.0.1"]),
    ],
)
def test_each_kind_of_item_names_its_addresses(spec: str, addresses: list[str]) -> None:
    assert expand(spec) == addresses


@pytest.mark.parametrize("spec", ["10.0.0.5", "10.0.0.5-10.0.0.9", "10.0.0.0/24", "eth0"])
def test_a_block_keeps_the_item_it_came_from(spec: str) -> None:
    assert {block.text for block in parse(f" {spec} ")} == {spec}


@linux_only
@pytest.mark.parametrize(
    ("item", "addresses"),
    [
        ("freebind:10.0.0.5", ["10.0.0.5"]),
        ("freebind:2001:db8::5", ["2001:db8::5"]),
        ("freebind: 2001:db8::/126", ["2001:db8::1", "2001:db8::2", "2001:db8::3"]),
        ("freebind:10.0.0.5 - 10.0.0.6", ["10.0.0.5", "10.0.0.6"]),
    ],
)
def test_a_free_bind_item_names_the_same_addresses(item: str, addresses: list[str]) -> None:
    spec = f"{item}, 10.200.0.1"
    assert expand(spec) == [*addresses, "10.200.0.1"]
    assert [(block.freebind, block.text) for block in parse(spec)] == [(True, item), (False, "10.200.0.1")]


@linux_only
def test_a_line_of_a_file_may_be_free_bind(tmp_path: Path) -> None:
    (tmp_path / "pool.txt").write_text("freebind:2001:db8::1 # routed\n10.0.0.1\n")
    assert [block.freebind for block in parse("@pool.txt", tmp_path)] == [True, False]


ONLY = "'freebind:' stands before an address, a range or a network, as in freebind:2001:db8::/64, only"


@linux_only
@pytest.mark.parametrize(
    ("item", "cause"),
    [
        ("freebind:", ONLY),
        ("freebind:eth0", ONLY),
        ("freebind:@pool.txt", ONLY),
        ("freebind:10.1", ONLY),
        ("freebind:10.0.0.9-10.0.0.1", "range runs backwards"),
        ("freebind:ff02::1", "ff02::1 is a multicast address; a source is a unicast address of this host"),
    ],
)
def test_a_bad_free_bind_item_is_named_with_its_cause(item: str, cause: str) -> None:
    with pytest.raises(PoolError, match=rf"\A{re.escape(f'ip pool {item!r}: {cause}')}\Z"):
        parse(item)


@linux_only
@pytest.mark.parametrize("item", ["freebind:10.0.0.1:80", "freebind:freebind:10.0.0.1", "Freebind:10.0.0.1"])
def test_a_target_is_no_free_bind_item(item: str) -> None:
    with pytest.raises(PoolError, match="looks like a target"):
        parse(item)


@linux_only
def test_an_address_is_free_bind_or_not() -> None:
    with pytest.raises(PoolError, match=r"duplicate 10\.0\.0\.1 \(from '10\.0\.0\.1' and 'freebind:10\.0\.0\.1'\)"):
        parse("10.0.0.1,freebind:10.0.0.1")


def test_other_systems_have_no_free_bind_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec_module, "FREEBIND", None)
    message = (
        "ip pool 'freebind:10.0.0.1': free-bind addresses need Linux; "
        "add the addresses to an interface and leave 'freebind:' out"
    )
    with pytest.raises(PoolError, match=rf"\A{re.escape(message)}\Z"):
        parse("freebind:10.0.0.1")


def test_a_network_of_any_size_is_one_block() -> None:
    (block,) = parse("2001:db8::/64")
    assert (block.count, block.version) == (2**64 - 1, 6)
    assert (block[0], block[2**63], block[-1]) == (
        "2001:db8::1",
        "2001:db8::8000:0:0:1",
        "2001:db8::ffff:ffff:ffff:ffff",
    )
    assert block
    with pytest.raises(OverflowError):
        len(block)


def test_an_index_outside_of_a_block_is_an_index_error() -> None:
    block = AddressBlock(1, 3, 4, "x")
    assert (len(block), block[-3]) == (3, "0.0.0.1")
    for index in (3, -4):
        with pytest.raises(IndexError):
            block[index]


def test_a_file_has_one_item_per_line(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "pool.txt").write_text(
        "\ufeff# the pool\n\n10.0.0.1   # first\n  10.0.1.0/30\r\neth1\n2001:db8::1", encoding="utf-8"
    )
    addresses = ["10.0.0.1", "10.0.1.1", "10.0.1.2", "10.7.0.1", "2001:db8::1"]
    assert expand("@sub/pool.txt", tmp_path) == addresses
    assert expand(f"10.3.0.1,@ {tmp_path}/sub/pool.txt") == ["10.3.0.1", *addresses]
    assert [block.text for block in parse("@sub/pool.txt", tmp_path)][:2] == ["10.0.0.1", "10.0.1.0/30"]


ALLOWED = "allowed are an address, a range 10.0.0.5-10.0.0.20, a network 10.0.0.0/24, an interface name, or @file"
SOURCE = "a source is a unicast address of this host"
TARGET = (
    "looks like a target (a URL or host:port), but the pool holds *source* addresses: "
    f"those of this host that the load leaves from; {ALLOWED}"
)


@pytest.mark.parametrize("spec", ["", "  ", "\n\t"])
def test_an_empty_spec_is_an_empty_pool(spec: str) -> None:
    with pytest.raises(PoolError, match=r"\Aip pool is empty\Z"):
        parse(spec)


@pytest.mark.parametrize("spec", [",", "10.0.0.1,", "10.0.0.1,,10.0.0.2"])
def test_an_empty_item_is_refused(spec: str) -> None:
    message = f"ip pool {spec!r}: an item is empty; put one comma between two items"
    with pytest.raises(PoolError, match=rf"\A{re.escape(message)}\Z"):
        parse(spec)


@pytest.mark.parametrize(
    ("item", "cause"),
    [
        ("10.0.0.9-10.0.0.1", "range runs backwards"),
        ("10.0.0.9-2001:db8::1", "range mixes IPv4 and IPv6"),
        ("10.0.0.5-20", "'20' is not an address; write both ends in full, as in 10.0.0.5-10.0.0.20"),
        ("5-10.0.0.20", "'5' is not an address; write both ends in full, as in 10.0.0.5-10.0.0.20"),
        ("10.0.0.5-", "'' is not an address; write both ends in full, as in 10.0.0.5-10.0.0.20"),
        ("10.0.0.5-10.0.0.300", "'10.0.0.300' is not an address; write both ends in full, as in 10.0.0.5-10.0.0.20"),
        ("10.0.0.0/33", "bad prefix '/33'; allowed for IPv4 is /0 to /32"),
        ("10.0.0.0/", "bad prefix '/'; allowed for IPv4 is /0 to /32"),
        ("10.0.0.0/-1", "bad prefix '/-1'; allowed for IPv4 is /0 to /32"),
        ("10.0.0.0/255.255.255.0", "bad prefix '/255.255.255.0'; allowed for IPv4 is /0 to /32"),
        ("2001:db8::/129", "bad prefix '/129'; allowed for IPv6 is /0 to /128"),
        ("10.0.0.300/24", "'10.0.0.300' is not an address; write a network as in 10.0.0.0/24 or 2001:db8::/64"),
        ("10.0.0.5/24", "has host bits set; write 10.0.0.0/24 for the network, or 10.0.0.5 for this address alone"),
        (
            "2001:db8::5/64",
            "has host bits set; write 2001:db8::/64 for the network, or 2001:db8::5 for this address alone",
        ),
        ("0.0.0.0", f"0.0.0.0 is the unspecified address; {SOURCE}"),
        ("::", f":: is the unspecified address; {SOURCE}"),
        ("224.0.0.1", f"224.0.0.1 is a multicast address; {SOURCE}"),
        ("ff02::1", f"ff02::1 is a multicast address; {SOURCE}"),
        ("223.255.255.254-224.0.0.1", f"224.0.0.0 is a multicast address; {SOURCE}"),
        ("255.255.255.255", f"255.255.255.255 is the broadcast address; {SOURCE}"),
        ("240.0.0.0/24", f"240.0.0.1 is a reserved address; {SOURCE}"),
        ("0.0.0.0/0", f"224.0.0.0 is a multicast address; {SOURCE}"),
        ("fe80::1", f"fe80::1 is a link-local address, which would need a scope id; {SOURCE}"),
        (
            "::ffff:10.0.0.1",
            f"{ipaddress.ip_address('::ffff:10.0.0.1')} is an IPv4-mapped address (write the IPv4 address); {SOURCE}",
        ),
        ("fe80::1%eth0", "IPv6 scope ids are not allowed; use an address that needs none"),
        ("fe80::1%eth0-fe80::2%eth0", "IPv6 scope ids are not allowed; use an address that needs none"),
        ("localhost", "names are not looked up; write 127.0.0.1"),
        ("LOCALHOST", "names are not looked up; write 127.0.0.1"),
        ("10.0.0.1:80", TARGET),
        ("shop.example.com:443", TARGET),
        ("localhost:8000", TARGET),
        ("http://10.0.0.1/cart", TARGET),
        ("https://[2001:db8::1]:8443/", TARGET),
        ("[2001:db8::1]:80", TARGET),
        ("bare0", "the interface has no address (link-local ones do not count); add one or name another"),
        *(
            (
                unknown,
                f"neither an address nor an interface: no interface {unknown!r} (this host has eth0, br-10.5); "
                f"{ALLOWED}",
            )
            for unknown in ("eth9", "10.0.0.300", "010.0.0.1", "10.1", "shop.example.com", "2001:db8::g", "eth0/24")
        ),
    ],
)
def test_a_bad_item_is_named_with_its_cause(item: str, cause: str) -> None:
    message = f"ip pool {item!r}: {cause}"
    with pytest.raises(PoolError, match=rf"\A{re.escape(message)}\Z"):
        parse(f"10.200.0.1, {item} ")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("10.0.0.0/30,10.0.0.2", "ip pool: duplicate 10.0.0.2 (from '10.0.0.0/30' and '10.0.0.2')"),
        ("10.0.0.2,10.0.0.0/30", "ip pool: duplicate 10.0.0.2 (from '10.0.0.2' and '10.0.0.0/30')"),
        ("10.0.0.1,10.1.0.1,10.0.0.1", "ip pool: duplicate 10.0.0.1 (from '10.0.0.1' and '10.0.0.1')"),
        (
            "10.0.0.1-10.0.0.9,10.0.0.3-10.0.0.4,10.0.0.20",
            "ip pool: duplicate 10.0.0.3 (from '10.0.0.1-10.0.0.9' and '10.0.0.3-10.0.0.4')",
        ),
        ("eth0,10.9.0.2", "ip pool: duplicate 10.9.0.2 (from 'eth0' and '10.9.0.2')"),
        ("2001:db8::/64,2001:DB8::9", "ip pool: duplicate 2001:db8::9 (from '2001:db8::/64' and '2001:DB8::9')"),
    ],
)
def test_an_address_that_two_items_name_is_refused(spec: str, message: str) -> None:
    with pytest.raises(PoolError, match=rf"\A{re.escape(message)}\Z"):
        parse(spec)


def test_the_same_number_in_both_families_is_no_duplicate() -> None:
    assert expand("0.0.0.9,::9") == ["0.0.0.9", "::9"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("10.0.0.9-10.0.0.1", "ip pool '10.0.0.9-10.0.0.1' ({path}, line 2): range runs backwards"),
        (
            "@other",
            "ip pool '@other' ({path}, line 2): "
            "a file cannot name another file; put both into the pool, as in @one,@two",
        ),
        (
            "10.0.0.1,10.0.0.2",
            "ip pool '10.0.0.1,10.0.0.2' ({path}, line 2): a file has one item per line, without commas",
        ),
        ("10.5.0.1", "ip pool: duplicate 10.5.0.1 (from '10.5.0.1' ({path}, line 1) and '10.5.0.1' ({path}, line 2))"),
    ],
)
def test_an_error_in_a_file_names_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "pool.txt"
    path.write_text(f"10.5.0.1\n{line}\n")
    with pytest.raises(PoolError, match=rf"\A{re.escape(message.format(path=path))}\Z"):
        parse("@pool.txt", tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"# caf\xe9\n10.0.0.1\n")
    for name, cause in (("missing", "No such file or directory"), (".", "Is a directory"), ("latin", "'utf-8' codec")):
        message = f"ip pool '@{name}': cannot read {tmp_path / name}: {cause}"
        with pytest.raises(PoolError, match=rf"\A{re.escape(message)}"):
            parse(f"@{name}", tmp_path)


def test_a_file_without_items_is_an_empty_pool(tmp_path: Path) -> None:
    path = tmp_path / "pool.txt"
    path.write_text("# nothing yet\n\n")
    with pytest.raises(PoolError, match=rf"\Aip pool is empty: {path} lists no address\Z"):
        parse("@pool.txt", tmp_path)


UNICAST_V4 = st.integers(int(ipaddress.IPv4Address("1.0.0.0")), int(ipaddress.IPv4Address("223.0.0.0")))
UNICAST_V6 = st.integers(int(ipaddress.IPv6Address("2000::")), int(ipaddress.IPv6Address("3fff::")))
UNICAST = st.one_of(st.tuples(st.just(4), UNICAST_V4), st.tuples(st.just(6), UNICAST_V6))


@settings(deadline=None)
@given(unicast=UNICAST, data=st.data())
def test_a_network_has_the_hosts_that_ipaddress_gives(unicast: tuple[int, int], data: st.DataObject) -> None:
    version, number = unicast
    width = 32 if version == 4 else 128
    prefix = data.draw(st.integers(width - 8, width))
    network = ipaddress.ip_network((number, prefix), strict=False)
    assert expand(str(network)) == [str(host) for host in network.hosts()]


@settings(deadline=None)
@given(unicast=UNICAST, length=st.integers(0, 300))
def test_a_range_has_each_address_from_end_to_end(unicast: tuple[int, int], length: int) -> None:
    version, number = unicast
    first = ipaddress.ip_address(address_text(number, version))
    (block,) = parse(f"{first}-{first + length}")
    assert len(block) == length + 1
    assert [block[index] for index in range(len(block))] == [str(first + index) for index in range(length + 1)]


PIECES = st.sampled_from(
    [
        "10.0.0.1",
        "10.0.0.9",
        "::1",
        "2001:db8::",
        "eth0",
        "@",
        "-",
        "/",
        "24",
        "64",
        ",",
        ":",
        "%",
        "[",
        " ",
        "#",
        "\0",
        ".",
    ]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=st.one_of(st.text(), st.lists(PIECES, max_size=8).map("".join)))
def test_any_text_parses_or_is_a_pool_error(tmp_path: Path, spec: str) -> None:
    try:
        blocks = parse(spec, tmp_path)
    except PoolError:
        return
    assert blocks
    assert all(block.count > 0 for block in blocks)


@pytest.mark.skipif(not hasattr(sys, "set_int_max_str_digits"), reason="this Python reads any number of digits")
def test_a_prefix_of_thousands_of_digits_is_a_pool_error() -> None:
    with pytest.raises(PoolError, match="bad prefix"):
        parse("10.0.0.0/" + "1" * 5000)


class TestTheTextAlone:
    """What another host can say about a pool: nothing about its interfaces and files."""

    @pytest.mark.parametrize("spec", ["eth7", "br-10.5, @/no/such/file", "10.0.0.1-10.0.0.9, eth7, 2001:db8::/64"])
    def test_what_may_be_a_pool_elsewhere_is_let_through(self, spec: str) -> None:
        check_text(spec)

    @pytest.mark.parametrize(
        ("spec", "cause"),
        [
            ("", "ip pool is empty"),
            ("eth7,,eth8", "an item is empty"),
            ("eth7,10.0.0.300", "ip pool '10.0.0.300': neither an address nor the name of an interface"),
            ("eth7,2001:db8::g", "ip pool '2001:db8::g': neither an address"),
            ("10.0.0.9-10.0.0.1", "range runs backwards"),
            ("10.0.0.0/33", "bad prefix"),
            ("224.0.0.1", "224.0.0.1 is a multicast address"),
            ("http://10.0.0.1/", "looks like a target"),
            ("localhost", "names are not looked up"),
            ("10.0.0.0/24,eth7,10.0.0.9", "duplicate 10.0.0.9 (from '10.0.0.0/24' and '10.0.0.9')"),
        ],
    )
    def test_what_is_a_pool_nowhere_is_refused(self, spec: str, cause: str) -> None:
        with pytest.raises(PoolError, match=re.escape(cause)):
            check_text(spec)
