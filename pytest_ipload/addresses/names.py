"""Pools that have a name, as the ini file lists them: ``checkout = 10.0.0.0/24, eth1``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pytest_ipload.addresses.host.probe import interfaces
from pytest_ipload.base.errors import PoolError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def parse_named_pools(lines: Iterable[str]) -> dict[str, str]:
    """The spec of each named pool; blank lines are ignored. The specs are not parsed.

    A line is ``name = SPEC``. A name has letters, digits, ``-`` and ``_``, and starts with a letter. Raises
    ``PoolError``, naming the line, for any other line, a second pool of a name, and the name of an interface.
    """
    named: dict[str, str] = {}
    taken = set(interfaces())
    for line in filter(None, map(str.strip, lines)):
        name, equals, spec = (part.strip() for part in line.partition("="))
        if not equals:
            raise _error(line, "there is no '='; write name = SPEC, as in checkout = 10.0.0.0/24")
        if not _NAME.fullmatch(name):
            raise _error(
                line, f"{name!r} is not a name; it has letters, digits, '-' and '_' only, and starts with a letter"
            )
        if not spec:
            raise _error(line, "no address follows; write name = SPEC, as in checkout = 10.0.0.0/24")
        if name in named:
            raise _error(line, f"the name {name!r} is used twice (first for {named[name]!r}); use another name")
        if name in taken:
            raise _error(line, f"{name!r} is also an interface of this host, so it is ambiguous; use another name")
        named[name] = spec
    return named


def resolve_pool(text: str, named: Mapping[str, str]) -> str:
    """The spec that a setting refers to: that of the pool with this name, or else the text itself.

    Raises ``PoolError`` for a text that can only be a name, if neither a pool nor an interface has it.
    """
    text = text.strip()
    if text in named:
        return named[text]
    if _NAME.fullmatch(text) and text.lower() != "localhost" and text not in (known := interfaces()):
        pools = (
            f"the named pools are {', '.join(named)}" if named else "there are no named pools (ini key ipload_pools)"
        )
        raise PoolError(
            f"ip pool {text!r}: neither a named pool nor an interface; {pools}, "
            f"and the interfaces of this host are {', '.join(known) or 'none'}"
        )
    return text


def _error(line: str, cause: str) -> PoolError:
    return PoolError(f"named ip pool, line {line!r}: {cause}")
