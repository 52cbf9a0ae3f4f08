"""What went wrong in a transfer, in the exceptions that requests raises for it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from typing import Any

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from pytest_ipload.base.errors import IploadError, SettingError, is_out_of_files
from pytest_ipload.transport.connect.dial import Dialer
from pytest_ipload.transport.curl.engine import Transfer
from pytest_ipload.transport.curl.libcurl import HTTP_3
from pytest_ipload.transport.generator_errors import OpenFilesExhausted

_RESOLVE, _CONNECT, _HTTP_2, _TIMED_OUT, _ABORTED, _SEND, _QUIC = 6, 7, 16, 28, 42, 55, 96
_TLS = frozenset((35, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91, 98))
_CA_UNREADABLE = 77
_NO_SETTINGS = "expected SETTINGS frame"
_BAD_KEY = "private key"  # encrypted, or of another certificate; its number says nothing
_NO_ALPN = "no application protocol"


class HttpVersionRefused(IploadError, requests.exceptions.ConnectionError):
    """The server does not speak the version of HTTP that ``http`` asks for."""


class ProxyUnsupported(SettingError, requests.exceptions.ProxyError):
    """HTTP/2 and HTTP/3 do not go through a proxy here."""


def failure(transfer: Transfer, url: str) -> BaseException:
    """The exception for a transfer that ended without the head of a reply."""
    opener, code = transfer.opener, transfer.code
    if opener.raised is not None:
        return opener.raised
    dialer, version = opener.dialer, f"HTTP/{transfer.http}"
    fault = next((each for each in opener.failures if hasattr(each, "fault")), None)
    if fault is not None:
        return _wrapped(fault, requests.ConnectionError, dialer, url)
    if opener.is_refused or (code != _TIMED_OUT and files_are_exhausted()) or _lacks_files_for_tls(transfer):
        return without_files(transfer.text)
    if code == _RESOLVE:
        return _unresolved(dialer, transfer.text, url)
    if code == _TIMED_OUT and not opener.sent:
        return _wrapped(
            ConnectTimeoutError(dialer.owner, _timeout_text(transfer)), requests.ConnectTimeout, dialer, url
        )
    if opener.failures and not opener.opened:
        last = opener.failures[-1]
        is_timeout = isinstance(last, ConnectTimeoutError) and not isinstance(last, NewConnectionError)
        kind = requests.ConnectTimeout if is_timeout else requests.ConnectionError
        return _wrapped(last, kind, dialer, url)
    if _NO_ALPN in transfer.text or _NO_SETTINGS in transfer.text:
        return HttpVersionRefused(
            f"{dialer.host}:{dialer.port} does not speak {version} ({transfer.text}); leave http out for HTTP/1.1"
        )
    if transfer.http == HTTP_3 and not opener.sent and code in (_CONNECT, _SEND, _QUIC):
        return _wrapped(NewConnectionError(dialer.owner, _no_quic(transfer)), requests.ConnectionError, dialer, url)
    if code in _TLS or _BAD_KEY in transfer.text:
        return _wrapped(SSLError(transfer.text), requests.exceptions.SSLError, dialer, url)
    if code == _CONNECT:
        refused = NewConnectionError(dialer.owner, f"Failed to establish a new connection: {transfer.text}")
        return _wrapped(refused, requests.ConnectionError, dialer, url)
    return requests.ConnectionError(broken_off(transfer))


def files_are_exhausted() -> bool:
    """Whether this process cannot open another file at the moment."""
    try:
        os.close(os.dup(2))
    except OSError as error:
        return is_out_of_files(error)
    return False


def _lacks_files_for_tls(transfer: Transfer) -> bool:
    """Whether libcurl could not read the CA certificates, though they are fine."""
    ca = None if transfer.request is None else transfer.request.tls.ca
    if transfer.code != _CA_UNREADABLE or ca is None or os.path.isdir(ca):
        return False
    try:
        ssl.create_default_context(cafile=ca)
    except OSError as error:
        return is_out_of_files(error)
    return True


def without_files(why: str) -> BaseException:
    """The exception for a transfer that this process has no open files left for."""
    fault = OpenFilesExhausted(
        "libcurl", f"too many open files ({why}); raise the limit with 'ulimit -n', or use fewer users"
    )
    wrapped = requests.ConnectionError(MaxRetryError("libcurl", "", fault))  # type: ignore[arg-type]  # a text
    wrapped.__cause__ = fault
    return wrapped


def broken_off(transfer: Transfer) -> ProtocolError:
    """urllib3's exception for a transfer that ended too early."""
    opener = transfer.opener
    text = f"Connection aborted: {transfer.text or f'libcurl reports error {transfer.code}'}"
    if transfer.code == _ABORTED and opener.sent > 1:
        text = "Connection aborted: the server refused the request, which is not sent twice"
    elif not transfer.lines and opener.sent and not opener.opened:
        text += "; the server closed the kept connection in place of a reply"
    elif opener.opened and not transfer.lines:
        text += f"; nothing came back on a new connection: does {opener.dialer.host} speak HTTP/{transfer.http}?"
    return ProtocolError(text)


def silent(transfer: Transfer, timeout: float | None, url: str) -> ReadTimeoutError:
    """urllib3's exception for a server that sent nothing in time."""
    pool: Any = transfer.opener.dialer.owner
    return ReadTimeoutError(pool, url, f"Read timed out. (read timeout={timeout})")


def _wrapped(reason: Exception, kind: Callable[..., Exception], dialer: Dialer, url: str) -> BaseException:
    """As requests has it: ``error.args[0].reason`` is what urllib3 would have raised."""
    wrapped = kind(MaxRetryError(dialer.owner, url, reason))
    wrapped.__cause__ = reason
    return wrapped


def _unresolved(dialer: Dialer, text: str, url: str) -> BaseException:
    reason: Exception = NameResolutionError(dialer.host, dialer.owner, OSError(text))  # type: ignore[arg-type]
    if len(dialer.sources) == 1:
        try:
            dialer.raise_family_mismatch(next(iter(dialer.sources.values())))
        except HTTPError as mismatch:
            reason = mismatch
    return _wrapped(reason, requests.ConnectionError, dialer, url)


def _timeout_text(transfer: Transfer) -> str:
    dialer = transfer.opener.dialer
    source = f" from source {dialer.source}" if dialer.source else ""
    text = f"Connection to {dialer.host}{source} timed out. (connect timeout={dialer.timeout})"
    return f"{text}; does it speak HTTP/3, at UDP port {dialer.port}?" if transfer.http == HTTP_3 else text


def _no_quic(transfer: Transfer) -> str:
    dialer = transfer.opener.dialer
    source = f" from source {dialer.source}" if dialer.source else ""
    code = transfer.errno()
    why = f": {os.strerror(code)}" if code else f": {transfer.text}"
    return f"Failed to establish a QUIC connection{source} to UDP port {dialer.port}{why}; does it speak HTTP/3?"


def fault_of(error: BaseException) -> tuple[str, str] | None:
    """The name and the text of the generator's own fault that an exception is about; None if it is about another."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    name = getattr(reason, "fault", None)
    if name is None:
        return None
    return name, str(reason).removeprefix(f"{getattr(reason, 'conn', '')}: ")
