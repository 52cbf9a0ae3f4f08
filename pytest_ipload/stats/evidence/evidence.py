"""What is kept of a request and its reply, and what is reported of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

SLOW, FAILED_REQUEST = "slow", "failed"
BODY_BYTES = 2048
"""How much of a body is shown."""
HEAD_BYTES = 8192
"""How much of a head is kept."""
KEPT_BYTES = BODY_BYTES + 4
"""How much of a body is kept: a whole character more than is shown, which tells that it is cut."""

Headers = Sequence[tuple[str, str]]


class Message(NamedTuple):
    """A request or a reply: its first line, its header, and the beginning of its body."""

    line: str
    headers: Headers
    body: bytes | None
    """None if it was not read, or comes from an iterator."""
    length: int | None
    """The length of the whole body; None if it is not known."""


class Exchange(NamedTuple):
    """One request as it was sent, and its reply."""

    request: Message | None
    reply: Message | None
    redirected_from: str | None = None
    """Method and URL of the first request, if this is one that a redirect led to."""


@dataclass(frozen=True)
class MessageText:
    """A request or a reply as text, without secrets."""

    line: str
    headers: Sequence[str]
    body: str | None = None
    body_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One request with its reply, as it is reported. Without secrets."""

    name: str
    kind: str
    """``slow`` or ``failed``."""
    at: str
    """ISO 8601, UTC."""
    t_s: float
    """Seconds since the start of the load."""
    user: int
    iteration: int | None
    """None outside of iterations: in a user's set-up or teardown."""
    source_address: str | None
    status: int | None
    """None without a reply."""
    latency_ms: float
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    redirects: int | None = None
    redirected_from: str | None = None
    trace_id: str | None = None
    error: str | None = None
    request: MessageText | None = None
    reply: MessageText | None = None

    @property
    def size(self) -> int:
        """About how many characters it takes in a report."""
        texts = [self.name, self.error or "", self.redirected_from or ""]
        for message in (self.request, self.reply):
            if message is not None:
                texts += [message.line, message.body or "", *message.headers]
        return 300 + sum(map(len, texts))
