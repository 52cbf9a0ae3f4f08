"""The interface ``http``: requests of the user's session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_ipload.base.errors import (
    ComponentFailed,
    ComponentRefused,
    ComponentReplyExceeded,
    ComponentRequestsExceeded,
    IploadError,
    ReplyTooLarge,
    SettingError,
    TargetNotAllowed,
)
from pytest_ipload.components.host_function import FAILURE, Caller, HostFunction, label
from pytest_ipload.components.limits import shown_size
from pytest_ipload.stats.fault_text import message_of, own_fault

if TYPE_CHECKING:
    from pytest_ipload.transport.response import LoadResponse

_HEADERS = "list<tuple<string, string>>"
_OPTIONS = "record{name: option<string>, expect: list<string>, timeout-ms: option<u32>, redirects: bool}"
_RESPONSE = (
    f"record{{status: u16, url: string, headers: {_HEADERS}, body: list<u8>, source-address: option<string>, "
    "elapsed-us: u64}"
)
_RESULT = f"result<{_RESPONSE}, {FAILURE}>"
_KINDS = (("Timeout", "timeout"), ("SSLError", "tls"), ("ConnectionError", "connection"))
"""Classes of requests and what they are to a component; the first that fits."""
_FREE_HEADERS = 65536
"""Characters of headers that do not count as bytes of the reply; http.client reads a hundred times as many."""

Header = tuple[str, str]
Options = tuple[str | None, list[str], int | None, bool]


def _send(
    caller: Caller, method: str, url: str, headers: Sequence[Header], body: bytes | None, options: Options | None
) -> tuple[bool, Any]:
    given: dict[str, Any] = {}
    if headers:
        given["headers"] = _joined(headers)
    if body is not None:
        given["data"] = body
    if options is not None:
        name, expect, timeout_ms, redirects = options
        given["allow_redirects"] = redirects
        if name is not None:
            given["name"] = label(name)
        if expect:
            given["expect"] = [int(each) if each.isdecimal() else each for each in expect]
        if timeout_ms is not None:
            given["timeout"] = timeout_ms / 1000
    return _answered(caller, method, url, given)


def _get(caller: Caller, url: str) -> tuple[bool, Any]:
    return _answered(caller, "GET", url, {})


def _answered(caller: Caller, method: str, url: str, given: dict[str, Any]) -> tuple[bool, Any]:
    limit = caller.limits.requests
    if caller.requests >= limit:
        raise ComponentRequestsExceeded(
            f"{caller.what()}: it has sent {caller.requests} requests and wants to send another one; its limit is "
            f"requests={limit}"
        )
    caller.requests += 1
    session = caller.user.session
    try:
        with session.replies_limited(caller.limits.reply_bytes):
            reply = session.get(url) if method == "GET" and not given else session.request(method, url, **given)
    except ReplyTooLarge:
        raise _too_large(caller, f"more than {caller.limits.reply_bytes}") from None
    except TargetNotAllowed as error:
        raise ComponentRefused(f"{caller.what()}: {error}") from error
    except SettingError as error:
        if "MissingSchema" in _names(error):  # there is no base URL: the test is wrong, and not the component
            raise
        raise ComponentFailed(f"{caller.what()}: {error}") from None  # of a name or an expectation
    except IploadError:  # of the test, or of the end of the load
        raise
    except (OSError, ValueError) as error:  # those of requests are of the first kind
        if caller.stopped.is_set() or own_fault(error):
            raise
        if isinstance(error, ValueError):  # of a method, URL or header that cannot be sent: there was no request
            raise ComponentFailed(f"{caller.what()}: {message_of(error)}") from error
        return False, _failure(error)
    return True, _response(caller, reply)


def _response(caller: Caller, reply: LoadResponse) -> Any:
    body, headers = reply.content or b"", list(reply.headers.items())
    size = len(body) + max(0, sum(len(name) + len(value) for name, value in headers) - _FREE_HEADERS)
    if size > caller.limits.reply_bytes:
        raise _too_large(caller, str(size))
    microseconds = round(reply.elapsed.total_seconds() * 1e6)
    return reply.status_code, reply.url, headers, body, reply.source_address, microseconds


def _too_large(caller: Caller, size: str) -> ComponentReplyExceeded:
    return ComponentReplyExceeded(
        f"{caller.what()}: a reply has {size} bytes; its limit is reply_bytes={shown_size(caller.limits.reply_bytes)}"
    )


def _joined(headers: Sequence[Header]) -> dict[str, str]:
    """Several headers of one name are one, as HTTP has it."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _failure(error: BaseException) -> tuple[str, str]:
    names = _names(error)
    return next((kind for name, kind in _KINDS if name in names), "other"), message_of(error)


def _names(error: BaseException) -> list[str]:
    """The names of its classes: requests is not imported here."""
    return [kind.__name__ for kind in type(error).__mro__]


FUNCTIONS = {
    "send": HostFunction(
        f"(string, string, {_HEADERS}, option<list<u8>>, option<{_OPTIONS}>) -> {_RESULT}",
        _send,
    ),
    "get": HostFunction(f"(string) -> {_RESULT}", _get),
}
