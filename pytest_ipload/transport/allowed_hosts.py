"""Which hosts may get load: a typo must not send a load test to someone else's server."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from urllib3.util.url import parse_url

from pytest_ipload.base.errors import SettingError, TargetNotAllowed

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Loopback, RFC 1918 and RFC 4193 (unique local). Link-local addresses are left out: most clouds have their metadata
# service among them.
_LOCAL_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)
# Where clouds hand out the credentials of the machine or the container that asks. Some of these addresses are unique
# local ones, and any name can be made to lead to all of them. From the documentation of each cloud.
_METADATA_SERVICES = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, Oracle, OpenStack and most others
        "169.254.170.2",  # AWS: credentials of ECS tasks
        "169.254.170.23",  # AWS: EKS Pod Identity
        "fd00:ec2::/32",  # AWS: instance metadata (::254), EKS Pod Identity (::23), name server, time server
        "fd20:ce::254",  # Google, machines with IPv6 only
        "168.63.129.16",  # Azure: WireServer
        "100.100.100.200",  # Alibaba
        "fd00:100::100:200",  # Alibaba
        "192.0.0.192",  # Oracle Cloud Infrastructure Classic
        "fd00:c1::a9fe:a9fe",  # Oracle
        "169.254.42.42",  # Scaleway
        "fd00:42::42",  # Scaleway
        "169.254.0.23",  # Tencent
        "fd00:a9fe:a9fe::1",  # Akamai (Linode)
        "fe80::a9fe:a9fe",  # OpenStack
    )
)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
# A last label such as 1 or 0x7f makes the resolver read the whole name as an odd spelling of an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ORIGIN = re.compile(r"[^:/?#]+://[^/?#]*")
_REMEMBERED_ORIGINS = 1000


class AllowedHosts:
    """The hosts that may be sent requests.

    Always allowed: loopback and private address literals, ``localhost`` and names below it, and the host of
    ``base_url``. ``patterns`` adds to them: a host name, ``*.example.com`` (the names below ``example.com``, not
    itself), or an IP address. Case, a trailing dot and the spelling of international names do not matter.

    The metadata services of clouds are allowed only by their address: being private does not allow them, nor does a
    name that leads there.

    Raises SettingError on a pattern that is none of these.
    """

    def __init__(self, patterns: Iterable[str] = (), base_url: str | None = None) -> None:
        if isinstance(patterns, str):
            raise SettingError(
                f"allowed hosts: {patterns!r} is a single string; give a list of hosts, as in [{patterns!r}]"
            )
        self._hosts: set[str | IPAddress] = {"localhost"}
        self._suffixes: set[str] = {".localhost"}
        self._allowed_origins: set[str] = set()
        for pattern in patterns:
            self._add(pattern)
        if base_url is not None:
            host = _host_of(base_url)
            if host is None:
                raise SettingError(f"base URL {base_url!r} has no host; write it as in 'http://localhost:8000'")
            self._hosts.add(host)

    def check(self, url: str) -> None:
        """Raise TargetNotAllowed if the URL's host is not allowed. A URL without a host has nowhere to send load to."""
        origin = _ORIGIN.match(url)
        if origin is not None and origin[0] in self._allowed_origins:
            return
        try:
            host = _host_of(url)
        except ValueError:
            raise TargetNotAllowed(
                f"{url!r} has no unambiguous host, so ipload_allowed_hosts cannot allow it; load was not sent. "
                "Write it as in http://host:8000/path"
            ) from None
        if host is not None and not self._allows(host):
            raise _refusal(host)
        if origin is not None and len(self._allowed_origins) < _REMEMBERED_ORIGINS:
            self._allowed_origins.add(origin[0])

    def allows(self, host: str) -> bool:
        """Whether a host is allowed: a name, or an address without its zone."""
        try:
            return self._allows(_canonical(host))
        except ValueError:
            return False

    def check_host(self, host: str) -> None:
        """Raise TargetNotAllowed if the host is not allowed."""
        if not self.allows(host):
            raise _refusal(host)

    def check_address(self, host: str, address: str) -> None:
        """Raise TargetNotAllowed if a name that is allowed leads somewhere that it must not.

        ``localhost`` and the names below it have to lead to a loopback or private address. Any other name was
        allowed by hand, and may be anywhere but at a metadata service.
        """
        name = _canonical(host)
        if not isinstance(name, str):
            return
        found = _canonical(address.partition("%")[0])
        if _is_metadata_service(found):
            what = "a metadata service, which serves this machine's credentials"
        elif f".{name}".endswith(".localhost"):
            what = "not a loopback or private address"
        else:
            return
        if not self._allows(found):
            raise TargetNotAllowed(
                f"{host!r} resolves to {address}, which is {what}; load was not sent. "
                f"If intended, add it with --ipload-allow-host {address}"
            )

    def _allows(self, host: str | IPAddress) -> bool:
        if host in self._hosts:
            return True
        if isinstance(host, str):
            return any(host.endswith(suffix) for suffix in self._suffixes)
        return any(host in network for network in _LOCAL_NETWORKS) and not _is_metadata_service(host)

    def _add(self, pattern: str) -> None:
        wildcard = pattern.startswith("*.")
        try:
            host = _canonical(pattern[2:] if wildcard else pattern)
        except ValueError:
            host = ""
        if isinstance(host, str):
            if not _NAME.fullmatch(host) or _NUMBER.fullmatch(host.rpartition(".")[2]):
                raise SettingError(_malformed(pattern))
            if wildcard:
                self._suffixes.add(f".{host}")
                return
        elif wildcard:
            raise SettingError(_malformed(pattern))
        self._hosts.add(host)


def _is_metadata_service(host: str | IPAddress) -> bool:
    return not isinstance(host, str) and any(host in network for network in _METADATA_SERVICES)


def _refusal(host: str | IPAddress) -> TargetNotAllowed:
    return TargetNotAllowed(
        f"{str(host)!r} is not in ipload_allowed_hosts; load was not sent. Add it with --ipload-allow-host {host}"
    )


def _malformed(pattern: str) -> str:
    return (
        f"allowed host {pattern!r} is malformed; write a host name, *.example.com for all names below it, "
        "or an IP address, without scheme, port and path"
    )


def _host_of(url: str) -> str | IPAddress | None:
    """The host a request for this URL goes to; None if it names none. Raises ValueError if readers would disagree.

    requests connects to the host that urllib.parse finds, but prepares URLs (and a proxy reads them) in urllib3's
    way. If the two differ it may be an attack, as in ``http://127.0.0.1\\@evil.example/``.
    """
    found = {None if host is None else _canonical(host) for host in (urlsplit(url).hostname, parse_url(url).host)}
    if len(found) != 1:
        raise ValueError(f"{url!r} is ambiguous")
    return found.pop()


def _canonical(host: str) -> str | IPAddress:
    """An address, or a name in lower case and ASCII without its trailing dot. Raises ValueError."""
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        # ::ffff:10.0.0.1 is a way to reach 10.0.0.1
        return getattr(address, "ipv4_mapped", None) or address
    if not text.isascii():
        # urllib3 knows the rules of international names (IDNA); it raises a ValueError for what breaks them.
        text = parse_url(f"http://{text}/").host or ""
    return text.lower().removesuffix(".")
