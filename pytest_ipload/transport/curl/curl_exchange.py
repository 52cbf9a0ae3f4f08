"""What the fast path and the adapter have in common: waiting for a reply, and what was measured of it."""

from __future__ import annotations

import warnings

import requests
from urllib3.exceptions import InsecureRequestWarning

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.transport.connect.binding import Hop
from pytest_ipload.transport.curl.curl_errors import HttpVersionRefused, failure, fault_of, silent
from pytest_ipload.transport.curl.curl_head import head_lines
from pytest_ipload.transport.curl.curl_raw import CurlRaw
from pytest_ipload.transport.curl.engine import SilentServer, Timeouts, Transfer
from pytest_ipload.transport.curl.libcurl import HTTP_3


class HandedOver:
    """What the fast path leaves to requests: an error, or a complete reply whose head is unusual."""

    def __init__(self, error: BaseException | None = None, raw: CurlRaw | None = None) -> None:
        self.error = error
        self.raw = raw

    def close(self) -> None:
        """As a connection has it, which is handed over otherwise."""


def await_head(transfer: Transfer, timeouts: Timeouts, url: str) -> None:
    """Wait for the head of the reply. Raises what requests raises, and HttpVersionRefused."""
    try:
        transfer.wait(lambda: head_lines(transfer.lines))
    except SilentServer:
        raise requests.ReadTimeout(silent(transfer, timeouts[1], url)) from None
    check_head(transfer, url)


def check_head(transfer: Transfer, url: str) -> None:
    """Raise if the transfer ended without the head of a reply, or if that is of another version of HTTP."""
    lines = head_lines(transfer.lines)
    if not lines:
        raise failure(transfer, url)
    if not lines[0].startswith(b"HTTP/%b " % transfer.http.encode()):
        dialer = transfer.opener.dialer
        raise HttpVersionRefused(
            f"{dialer.host}:{dialer.port} answered in {lines[0].split()[0].decode('latin-1')}, not in "
            f"HTTP/{transfer.http}; leave http out for HTTP/1.1"
        )


def measure(transfer: Transfer, hop: Hop, error: BaseException | None = None) -> None:
    """Note what was measured of an exchange, up to the head of its reply or its error."""
    opener = transfer.opener
    hop.source_address = opener.local_address or opener.dialer.source
    hop.retries = max(0, opener.sent - 1)
    note_fault(hop, error)
    if not opener.opened:
        return
    if transfer.http != HTTP_3 or opener.sent:  # a datagram socket alone does not count
        hop.connections = opener.opened
    connected, handshaken = transfer.seconds("CONNECT_TIME"), transfer.seconds("APPCONNECT_TIME")
    hop.is_tls = transfer.request is None or transfer.request.origin.startswith("https:")
    hop.connect_ns = round(connected * NS_PER_S)
    if handshaken:
        hop.tls_ns = round(max(0.0, handshaken - connected) * NS_PER_S)
    if transfer.lines:
        hop.first_byte_ns = round(transfer.seconds("STARTTRANSFER_TIME") * NS_PER_S)


def note_fault(hop: Hop, error: BaseException | None) -> None:
    """Note that an exception is about the generator's own fault, if it is."""
    if error is not None and (fault := fault_of(error)) is not None:
        hop.fault, hop.fault_text = fault


def warn_unverified(transfer: Transfer) -> None:
    """Warn, as urllib3 does, of a new connection to a server that was not verified."""
    opener, request = transfer.opener, transfer.request
    if opener.opened and request is not None and request.tls.ca is None and request.origin.startswith("https:"):
        warnings.warn(
            f"Unverified HTTPS request is being made to host {opener.dialer.host!r}. "
            "Adding certificate verification is strongly advised.",
            InsecureRequestWarning,
            stacklevel=2,
        )
