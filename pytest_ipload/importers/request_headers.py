"""Which headers of a recorded request a load test sends: those that matter to the server, without the browser's own."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BROWSERS = """
    accept-encoding accept-language access-control-request-headers access-control-request-method alt-used cache-control
    connection content-length cookie dnt downlink dpr expect forwarded host if-modified-since if-none-match keep-alive
    origin pragma priority proxy-connection purpose range referer rtt save-data te trailer transfer-encoding upgrade
    upgrade-insecure-requests user-agent via viewport-width x-client-data
"""
_TRACERS = """
    b3 baggage elastic-apm-traceparent newrelic request-id sentry-trace traceparent tracestate x-amzn-trace-id
    x-request-id x-requestid x-correlation-id
"""
_LEFT_OUT = frozenset((_BROWSERS + _TRACERS).split())
_FAMILIES = re.compile(r"(?i):|sec-|proxy-|x-b3-|x-datadog-|x-newrelic-|x-forwarded-|access-control-")
_BROWSERS_ACCEPT = re.compile(r"\s*(?:\*/\*|text/html\b|image/|text/css\b|application/signed-exchange).*", re.DOTALL)


def kept_headers(
    headers: Iterable[tuple[str, str]], wanted: frozenset[str] = frozenset()
) -> tuple[list[tuple[str, str]], list[str]]:
    """The headers to send, and the names of those left out. ``wanted``: names, in lower case, that are kept anyway.

    ``Content-Type`` is among them: the body decides whether it is needed.
    """
    kept: dict[str, tuple[str, str]] = {}
    left_out = []
    for name, value in headers:
        key = name.lower()
        if key not in wanted and (
            key in _LEFT_OUT
            or _FAMILIES.match(key)
            or (key == "accept" and _BROWSERS_ACCEPT.fullmatch(value))
            or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)
        ):
            left_out.append(name)
        else:
            kept[key] = (_in_case(name), value.strip())
    return list(kept.values()), left_out


def _in_case(name: str) -> str:
    """``content-type``, as HTTP/2 has it, is shown as ``Content-Type``; any other case stays."""
    return name.title() if name.islower() else name
