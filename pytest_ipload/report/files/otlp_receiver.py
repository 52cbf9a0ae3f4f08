"""A receiver of OTLP over HTTP: one request, and what became of it.

It is sent with ``http.client``, over a connection of its own, and not with requests: a test may have replaced that, or
count its calls, and pushes are none of its business.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, unquote, urlsplit

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # its types are another package
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from pytest_ipload.base.masking import masked
from pytest_ipload.base.text import printable
from pytest_ipload.base.units import format_duration

HEADERS_VARIABLES = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS")
"""The second one's headers come before those of the first."""
CERTIFICATE_VARIABLES = ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")
_PATH = "/v1/metrics"
_TRY_AGAIN = frozenset({429, 502, 503, 504})
_LONGEST_REPLY = 65536
_SAFE = "!$%&'()*+,/:;=?@[]~"
_HEADER = re.compile(r"[!#$%&'*+.^_`|~\w-]+", re.ASCII)
_Connection, _TlsConnection = (
    HTTPConnection,
    HTTPSConnection,
)  # what a recorder of HTTP puts in its place later is not used


class NotPushed(Exception):
    """The receiver did not take the metrics; the text says why."""

    def __init__(self, reason: str, *, may_pass: bool) -> None:
        super().__init__(masked(printable(reason)))
        self.may_pass = may_pass
        """Whether it may be different in a moment."""


def pairs_of(text: str) -> dict[str, str]:
    """What a variable of OpenTelemetry holds: ``key=value,key=value``, percent-encoded."""
    found = (item.partition("=") for item in text.split(",") if "=" in item)
    return {unquote(key).strip(): unquote(value).strip() for key, _, value in found}


class Receiver:
    """Where metrics are pushed to."""

    def __init__(self, url: str, environ: Mapping[str, str] = os.environ) -> None:
        """``url`` has a host; without a path, it gets that of OTLP. Raises ValueError for what cannot be sent."""
        parts = urlsplit(url)
        self._tls = _tls(environ) if parts.scheme == "https" else None
        self._host, self._port = parts.hostname or "", parts.port
        path = _PATH if parts.path in ("", "/") else parts.path
        self._target = quote(f"{path}?{parts.query}" if parts.query else path, safe=_SAFE)
        self.url = masked(printable(parts._replace(path=path, fragment="").geturl()))
        """To be shown: without secrets."""
        self._headers = {"content-type": "application/x-protobuf", "user-agent": "pytest-ipload"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["authorization"] = f"Basic {b64encode(user.encode()).decode()}"
        for variable in HEADERS_VARIABLES:
            self._headers |= _headers(variable, environ.get(variable, ""))
        self._connection: HTTPConnection | None = None

    def push(self, message: ExportMetricsServiceRequest, timeout_s: float) -> None:
        """Send it. Raises NotPushed; the timeout holds for each step of it."""
        try:
            connection = self._connection = self._connect(timeout_s)
            connection.request("POST", self._target, message.SerializeToString(), self._headers)
            response = connection.getresponse()
            status, reason, body = response.status, response.reason, response.read(_LONGEST_REPLY)
        except TimeoutError:
            raise NotPushed(f"no reply within {format_duration(timeout_s)}", may_pass=True) from None
        except (OSError, HTTPException) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise NotPushed(f"{type(error).__name__}: {text}", may_pass=True) from None
        finally:
            self.abort()
        if not 200 <= status < 300:
            raise NotPushed(f"HTTP {status} {reason}".rstrip(), may_pass=status in _TRY_AGAIN)
        _check(body)

    def _connect(self, timeout_s: float) -> HTTPConnection:
        if self._tls is None:
            return _Connection(self._host, self._port, timeout=timeout_s)
        return _TlsConnection(self._host, self._port, timeout=timeout_s, context=self._tls)

    def abort(self) -> None:
        """End what is being sent, or received. For any thread."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            connection.close()


def _tls(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The system's certificate authorities, or that of a variable. Raises ValueError if it cannot be read."""
    for variable in CERTIFICATE_VARIABLES:
        if path := environ.get(variable):
            try:
                return ssl.create_default_context(cafile=path)
            except OSError as error:  # an SSLError is one, too
                raise ValueError(f"{variable}: {path!r} cannot be read as certificates: {error.strerror}") from None
    return ssl.create_default_context()


def _headers(variable: str, text: str) -> dict[str, str]:
    """Those of a variable. Raises ValueError, which shows no value: http.client would, and it may be a secret."""
    found = {name.lower(): value for name, value in pairs_of(text).items()}
    faults = [f"header {name!r} cannot be sent" for name, value in found.items() if not _can_be_sent(name, value)]
    if any("=" not in item for item in text.split(",") if item.strip()):
        faults.append("a header has no '='")
    if faults:
        raise ValueError(f"{variable}: {faults[0]}; write it as in api-key=KEY,x-scope=ci, percent-encoded")
    return found


def _can_be_sent(name: str, value: str) -> bool:
    return bool(_HEADER.fullmatch(name)) and value.isascii() and value.isprintable()


def _check(body: bytes) -> None:
    """Raise NotPushed if the receiver took only a part. Any other body is ignored."""
    response = ExportMetricsServiceResponse()
    with suppress(DecodeError):
        response.ParseFromString(body)
    rejected = response.partial_success.rejected_data_points
    if rejected > 0:
        why = response.partial_success.error_message
        raise NotPushed(f"{rejected} values were rejected{f': {why}' if why else ''}", may_pass=False)
