"""The text that names a pool's addresses, and the runs of addresses it stands for.

Nothing here asks the network. Addresses are kept as (first, count), so a network of any size costs the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from pytest_ipload.addresses.host.bind_source import FREEBIND
from pytest_ipload.addresses.source_address import FREEBIND_PREFIX
from pytest_ipload.base.errors import PoolError

_ALLOWED = "allowed are an address, a range 10.0.0.5-10.0.0.20, a network 10.0.0.0/24, an interface name, or @file"

_NEVER_A_SOURCE = tuple(
    (ip_network(network), words)
    for network, words in (
        ("0.0.0.0/32", "the unspecified address"),
        ("224.0.0.0/4", "a multicast address"),
        ("255.255.255.255/32", "the broadcast address"),
        ("240.0.0.0/4", "a reserved address"),
        ("::/128", "the unspecified address"),
        ("::ffff:0:0/96", "an IPv4-mapped address (write the IPv4 address)"),
        ("fe80::/10", "a link-local address, which would need a scope id"),
        ("ff00::/8", "a multicast address"),
    )
)


def address_text(number: int, version: int) -> str:
    """The usual text of an address given as a number; version is 4 or 6."""
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


@dataclass(frozen=True)
class AddressBlock:
    """A contiguous run of addresses that is never expanded.

    As with ``range``, ``len()`` raises ``OverflowError`` above ``sys.maxsize``, which a /64 exceeds; ``count`` holds.
    """

    first: int
    """The first address as a number."""
    count: int
    """How many addresses, at least 1."""
    version: int
    """4 or 6."""
    text: str
    """The item of the spec, or the line of the file, that the block came from."""
    freebind: bool = False
    """Whether the addresses are bound with the free-bind option: see ``binding.bind_source``."""

    @property
    def numbers(self) -> range:
        """The addresses as numbers."""
        return range(self.first, self.first + self.count)

    def __len__(self) -> int:
        return len(self.numbers)

    def __bool__(self) -> bool:
        return self.count > 0

    def __getitem__(self, index: int) -> str:
        return address_text(self.numbers[index], self.version)


class _Item(NamedTuple):
    """One item of the spec as errors name it."""

    text: str
    place: str = ""
    """The file and line of an item that is not in the spec itself."""

    @property
    def is_file(self) -> bool:
        return self.text.startswith("@")

    @property
    def freebind(self) -> bool:
        return self.text.startswith(FREEBIND_PREFIX)

    @property
    def addresses(self) -> str:
        """The text without the mark of free-bind addresses."""
        return self.text.removeprefix(FREEBIND_PREFIX).strip()

    def block(self, first: int, count: int, version: int) -> AddressBlock:
        return AddressBlock(first, count, version, self.text, self.freebind)

    def __str__(self) -> str:
        return f"{self.text!r} ({self.place})" if self.place else repr(self.text)


def parse_spec(
    spec: str, *, base: Path, interface_addresses: Callable[[str], Sequence[str]]
) -> tuple[AddressBlock, ...]:
    """The blocks of addresses that a pool spec names, in its order.

    Grammar::

        spec      = item { "," item }                      (spaces round an item are ignored)
        item      = addresses | "freebind:" addresses | interface | file
        addresses = address | range | network
        address   = an IPv4 or IPv6 address in full, without port, brackets or scope id
        range     = address "-" address                    both ends included; of one family, low to high
        network   = address "/" prefix-length              the usable hosts: without an IPv4 network's own and its
                                                           broadcast address, without an IPv6 network's first one;
                                                           all of a /31, /32, /127 or /128; no host bits set
        interface = a name such as eth0                    its configured addresses, link-local ones left out
        file      = "@" path                               relative to ``base``; one item (but no file) per line,
                                                           blank lines and what follows a "#" are ignored

    Free-bind addresses need not be configured on an interface; a route makes them local. This is for IPv6 networks
    that are routed to this host (AnyIP), and needs Linux.

    ``interface_addresses`` gives the addresses of an interface, or raises ``PoolError``.
    Raises ``PoolError``, naming the item and the cause: also for an address that can never be a source (multicast,
    unspecified, reserved ...) and for one that two items name.
    """
    found = [(item, block) for item in _items(spec, base) for block in _blocks(item, interface_addresses)]
    _refuse_duplicates(found)
    return tuple(block for _, block in found)


def check_text(spec: str) -> None:
    """Check of a pool what can be known on any host: its files and interfaces may be on another one.

    Raises ``PoolError`` as ``parse_spec`` does.
    """
    found = []
    for item in _written(spec):
        if item.is_file:
            continue
        if (block := _written_block(item)) is not None:
            found.append((item, block))
        elif _resembles_address(item.text):
            raise _error(item, f"neither an address nor the name of an interface; {_ALLOWED}")
    _refuse_duplicates(found)


def _items(spec: str, base: Path) -> Iterator[_Item]:
    for item in _written(spec):
        if item.is_file:
            yield from _file_items(item, base)
        else:
            yield item


def _written(spec: str) -> Iterator[_Item]:
    if not spec.strip():
        raise PoolError("ip pool is empty")
    for text in map(str.strip, spec.split(",")):
        if not text:
            raise PoolError(f"ip pool {spec!r}: an item is empty; put one comma between two items")
        yield _Item(text)


def _file_items(item: _Item, base: Path) -> Iterator[_Item]:
    path = base / item.text[1:].strip()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a path that no file can have
        cause = error.strerror if isinstance(error, OSError) else error
        raise _error(item, f"cannot read {path}: {cause}") from error
    contents = [
        _Item(text, f"{path}, line {number}")
        for number, line in enumerate(lines, start=1)
        if (text := line.partition("#")[0].strip())
    ]
    if not contents:
        raise PoolError(f"ip pool is empty: {path} lists no address")
    for content in contents:
        if content.is_file:
            raise _error(content, "a file cannot name another file; put both into the pool, as in @one,@two")
        if "," in content.text:
            raise _error(content, "a file has one item per line, without commas")
        yield content


def _blocks(item: _Item, interface_addresses: Callable[[str], Sequence[str]]) -> list[AddressBlock]:
    block = _written_block(item)
    return _interface(item, interface_addresses) if block is None else [block]


def _written_block(item: _Item) -> AddressBlock | None:
    """The block of an item that specifies addresses; None for one that can only be an interface name."""
    _refuse_targets(item)
    text = item.addresses
    first, dash, last = (part.strip() for part in text.partition("-"))
    head, slash, prefix = text.partition("/")
    if item.freebind and FREEBIND is None:
        raise _error(
            item, "free-bind addresses need Linux; add the addresses to an interface and leave 'freebind:' out"
        )
    if dash and (_resembles_address(first) or _resembles_address(last)):
        block = _range(item, first, last)
    elif slash and _resembles_address(head):
        block = _network(item, head, prefix)
    elif (address := _address(text)) is not None:
        block = item.block(int(address), 1, address.version)
    elif item.freebind:
        raise _error(
            item, "'freebind:' stands before an address, a range or a network, as in freebind:2001:db8::/64, only"
        )
    else:
        return None
    _refuse_never_a_source(item, block)
    return block


def _range(item: _Item, first: str, last: str) -> AddressBlock:
    low, high = _address(first), _address(last)
    if low is None or high is None:
        wrong = first if low is None else last
        raise _error(item, f"{wrong!r} is not an address; write both ends in full, as in 10.0.0.5-10.0.0.20")
    if low.version != high.version:
        raise _error(item, "range mixes IPv4 and IPv6")
    if int(high) < int(low):
        raise _error(item, "range runs backwards")
    return item.block(int(low), int(high) - int(low) + 1, low.version)


def _network(item: _Item, head: str, prefix: str) -> AddressBlock:
    address = _address(head)
    if address is None:
        raise _error(item, f"{head!r} is not an address; write a network as in 10.0.0.0/24 or 2001:db8::/64")
    version, width = address.version, address.max_prefixlen
    # The length first: int() refuses texts of thousands of digits.
    if len(prefix) > 3 or not (prefix.isascii() and prefix.isdigit()) or int(prefix) > width:
        raise _error(item, f"bad prefix '/{prefix}'; allowed for IPv{version} is /0 to /{width}")
    size = 1 << (width - int(prefix))
    start = int(address) & -size
    if start != int(address):
        network = f"{address_text(start, version)}/{prefix}"
        raise _error(item, f"has host bits set; write {network} for the network, or {address} for this address alone")
    if size <= 2:
        return item.block(start, size, version)
    return item.block(start + 1, size - (2 if version == 4 else 1), version)


def _interface(item: _Item, interface_addresses: Callable[[str], Sequence[str]]) -> list[AddressBlock]:
    try:
        texts = interface_addresses(item.text)
    except PoolError as error:
        raise _error(item, f"neither an address nor an interface: {error}; {_ALLOWED}") from error
    # One address may be configured twice, with different prefixes.
    addresses = [address for address in dict.fromkeys(map(ip_address, texts)) if not address.is_link_local]
    if not addresses:
        raise _error(item, "the interface has no address (link-local ones do not count); add one or name another")
    return [AddressBlock(int(address), 1, address.version, item.text) for address in addresses]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _resembles_address(text: str) -> bool:
    """Whether a text is meant as an address, if a wrong one; interface names such as br-10.5 are not."""
    return ":" in text or (text.count(".") == 3 and text.replace(".", "").isdigit())


def _refuse_targets(item: _Item) -> None:
    text = item.addresses
    if text.lower() == "localhost":
        raise _error(item, "names are not looked up; write 127.0.0.1")
    if "://" in text or text.startswith("[") or text.count(":") == 1:
        raise _error(
            item,
            "looks like a target (a URL or host:port), but the pool holds *source* addresses: those of this host "
            f"that the load leaves from; {_ALLOWED}",
        )
    if "%" in text and ":" in text:
        raise _error(item, "IPv6 scope ids are not allowed; use an address that needs none")


def _refuse_never_a_source(item: _Item, block: AddressBlock) -> None:
    for network, words in _NEVER_A_SOURCE:
        overlap = max(block.first, int(network.network_address))
        if network.version == block.version and overlap <= int(network.broadcast_address) and overlap in block.numbers:
            address = address_text(overlap, block.version)
            raise _error(item, f"{address} is {words}; a source is a unicast address of this host")


def _refuse_duplicates(found: Sequence[tuple[_Item, AddressBlock]]) -> None:
    order = sorted(range(len(found)), key=lambda index: (found[index][1].version, found[index][1].first))
    # If any two blocks overlap, then so do two neighbours in this order.
    for before, after in pairwise(order):
        lower, upper = found[before][1], found[after][1]
        if lower.version == upper.version and upper.first in lower.numbers:
            one, other = (found[index][0] for index in sorted((before, after)))
            address = address_text(upper.first, upper.version)
            raise PoolError(f"ip pool: duplicate {address} (from {one} and {other})")


def _error(item: _Item, cause: str) -> PoolError:
    return PoolError(f"ip pool {item}: {cause}")
