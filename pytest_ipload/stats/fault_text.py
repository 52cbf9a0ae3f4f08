"""What an exception says, in one line and in plain words: ``connection refused by 127.0.0.1:8199``.

requests wraps what urllib3 raises, which wraps what the system said; the text of the outermost one is all of them in
each other. The classes are recognised by name, so that nothing of requests or urllib3 is imported here.
"""

from __future__ import annotations

import contextlib
import errno
import re
import weakref
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from pytest_ipload.base.errors import configuration_error, is_out_of_files
from pytest_ipload.base.masking import masked

_LONGEST = 300
_WRAPPERS = frozenset({"requests", "urllib3", "http"})
_TIMEOUT = re.compile(r"timeout=([0-9.e+-]+)\)")
_UNREACHABLE = {errno.EHOSTUNREACH: "no route to host", errno.ENETUNREACH: "network unreachable"}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_urls: weakref.WeakKeyDictionary[BaseException, str] = weakref.WeakKeyDictionary()
_TLS_WORDS = {"certificate has expired": "certificate expired", "Hostname mismatch, certificate": "certificate"}


def note_url(error: BaseException, url: str) -> None:
    """Remember which URL was requested when this was raised, if the exception does not contain it."""
    with contextlib.suppress(TypeError):  # a built-in one, which takes no attributes
        _urls[error] = url


def fault_text(error: BaseException) -> str | None:
    """What failed on the way to a server and which server it was; None where the exception's own text says it best."""
    inner = configuration_error(error)
    if inner is not None and inner is not error:
        return str(inner)  # "unhandled errors in a TaskGroup" does not say which host was refused
    # A class of the user's own, or of another library, says what its author meant it to say.
    if type(error).__module__.partition(".")[0] not in _WRAPPERS:
        return None
    chain = list(_wrapped(error))
    address = _address(chain)
    for each in reversed(chain):
        if (text := _in_words(each, address)) is not None:
            return text
    innermost = str(chain[-1])
    if _is(chain[-1], "MaxRetryError") or not any(_is(each, "MaxRetryError") for each in chain) or not innermost:
        return None
    return f"{innermost} ({address})"


def message_of(error: BaseException) -> str:
    """The exception's message in one line, masked. It never raises: one whose ``str`` fails must not stop a load."""
    try:
        text = masked(fault_text(error) or _own_text(error))
    except BaseException as broken:  # of a user's own code, which may raise anything
        text = f"<its message cannot be shown: {type(broken).__name__}>"
    lines = text.strip().splitlines()
    first = lines[0] if lines else ""
    return first if len(first) <= _LONGEST else first[:_LONGEST] + " ..."


def _own_text(error: BaseException) -> str:
    """``str(error)``; of a group of exceptions with the first one in it: the group says only how many there are."""
    text, inner = str(error), error
    while hasattr(inner, "split") and (members := getattr(inner, "exceptions", ())):
        inner = members[0]
    if inner is error:
        return text
    first = text.strip().partition("\n")[0]
    return ": ".join(filter(None, [first, type(inner).__name__, fault_text(inner) or str(inner)]))


def own_fault(error: BaseException) -> str | None:
    """The name of the generator's own fault behind an exception, which clients may have wrapped; None without one."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if fault := getattr(each, "fault", None):
            return str(fault)
        if is_out_of_files(each):
            return "files-exhausted"
        left += (each.__cause__, each.__context__)
        if hasattr(each, "split"):  # a group of exceptions, from Python 3.11 on
            left += getattr(each, "exceptions", ())
    return None


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    """The exception and those in it, from the outermost to the innermost."""
    seen: set[int] = set()
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        yield inner
        parts = (*inner.args, getattr(inner, "reason", None))
        found = next((part for part in parts if isinstance(part, BaseException)), None)
        # A cause is of use only below urllib3: what a test raises itself while it handles an error is not that error.
        inner = found or (inner.__cause__ if type(inner).__module__.partition(".")[0] != "requests" else None)


def _is(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(error).__mro__)


def _in_words(error: BaseException, address: str) -> str | None:
    text = str(error)
    if getattr(error, "fault", None) and (own := getattr(error, "message", "")):  # of this side of the connection
        return str(own)
    if _is(error, "NameResolutionError"):
        cause = error.__cause__
        why = f" ({cause.args[1]})" if isinstance(cause, OSError) and len(cause.args) > 1 else ""
        return f"name not known: {address.rpartition(':')[0]}{why}"
    if _is(error, "ConnectTimeoutError"):
        hint = text.partition("; ")[2].rstrip("')")
        return f"no connection to {address}{_within(text)}" + (f"; {hint}" if hint else "")
    if _is(error, "ReadTimeoutError"):
        within = _within(text)
        return f"no reply{within} from {address}" if within else f"the reply from {address} stopped (read timed out)"
    if isinstance(error, OSError) and any(kind.__module__ == "ssl" for kind in type(error).__mro__):
        return f"TLS: {_tls_text(error)} ({address})"
    if _is(error, "RemoteDisconnected"):
        return f"connection closed by {address} before a reply"
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused by {address}"
    if isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        return f"connection reset by {address}"
    if _is(error, "InvalidChunkLength"):
        return f"the reply from {address} has a chunk with an invalid length"
    if _is(error, "IncompleteRead"):
        return f"connection closed by {address} in the middle of a reply ({text.removeprefix('IncompleteRead(')}"
    if _is(error, "BadStatusLine"):
        return f"the reply from {address} is not HTTP: {str(error.args[0] if error.args else '')!r:.80}"
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return f"{address} cannot be reached: {_UNREACHABLE[error.errno]}"
    return None


def _within(text: str) -> str:
    found = _TIMEOUT.search(text)
    return f" within {float(found[1]):g} s" if found else ""


def _tls_text(error: OSError) -> str:
    """``certificate expired``; of other faults OpenSSL's name for them, as words."""
    reason = getattr(error, "reason", None) or str(error)
    text = getattr(error, "verify_message", None) or reason.replace("_", " ").lower()
    for theirs, plain in _TLS_WORDS.items():
        text = text.replace(theirs, plain)
    return str(text).rstrip(".")


def _address(chain: Sequence[BaseException]) -> str:
    """Host and port of the innermost connection that is known, else of the request."""
    for attribute in ("conn", "pool"):
        for each in reversed(chain):
            owner = vars(each).get(attribute)
            host, port = getattr(owner, "host", None), getattr(owner, "port", None)
            if isinstance(host, str):
                is_proxy = attribute == "conn" and any(_is(other, "ProxyError") for other in chain)
                return ("the proxy " if is_proxy else "") + _shown(host, port if isinstance(port, int) else None)
    url = getattr(getattr(chain[0], "request", None), "url", None) or _noted_url(chain[0])
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        return _shown(parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)) or "the server"
    except ValueError:
        return "the server"


def _noted_url(error: BaseException) -> str | None:
    try:
        return _urls.get(error)
    except TypeError:
        return None


def _shown(host: str, port: int | None) -> str:
    name = f"[{host.strip('[]')}]" if ":" in host else host
    return f"{name}:{port}" if name and port else name
