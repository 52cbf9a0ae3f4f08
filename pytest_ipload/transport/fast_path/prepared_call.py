"""A request of the fast path that is ready to be sent."""

from __future__ import annotations

from requests import PreparedRequest

from pytest_ipload.base.masking import masked
from pytest_ipload.settings.url_names import UrlNames
from pytest_ipload.transport.adapter import SourceAdapter
from pytest_ipload.transport.connect.connection import Pool
from pytest_ipload.transport.message.reply_head import Head
from pytest_ipload.transport.message.templates import Body, Target, Template

FOREVER = float("inf")
"""The expiry of what does not expire."""
NO_FLOOR = 1 << 62
"""No reply is worth keeping."""
_new = object.__new__
_NO_REPLY = Head(200, "", (("Content-Length", "0"),))
_NO_REPLY.raw = b"\0"  # no reply begins so


class PreparedCall:
    """A request that is ready to be sent, but for its body; it holds until headers, cookies or settings change."""

    __slots__ = (
        "_sized",
        "_template",
        "adapter",
        "cookies",
        "floor_name",
        "floor_ns",
        "head",
        "holds_for",
        "is_head",
        "label",
        "last_reply_head",
        "made_for",
        "method",
        "pool",
        "source",
        "target",
        "valid_until",
        "where",
    )

    def __init__(
        self,
        template: Template,
        method: str,
        target: Target,
        cookies: str | None,
        valid_until: float,
        adapter: SourceAdapter,
        names: UrlNames | None = None,
        jar_state: object = None,
    ) -> None:
        """``jar_state`` is the state of the session's jar that the cookies are from."""
        self._template = template
        self.method = method
        self.is_head = method == "HEAD"
        self.target = target
        label = None if names is None else names.name(method, target.origin, target.path)
        self.label = label or masked(f"{method} {target.path}")
        self.where = template.where(target)
        self.cookies = cookies
        self.valid_until = valid_until
        """By ``time.time``: then a cookie expires."""
        self.made_for = jar_state
        self.holds_for = jar_state if valid_until == FOREVER else None
        """The state of the jar in which it can be sent without a look at the clock."""
        self.adapter = adapter
        self.head = template.head(target, cookies)
        self._sized = -1, b""
        """The length of the last body, and the head for it."""
        self.pool: Pool | None = None
        self.source: str | None = None
        """The pool of connections, and the source address that it is for."""
        self.floor_name: str | None = None
        self.floor_ns = NO_FLOOR
        """The latency that a reply has to exceed to be worth keeping, if its sample has this name."""
        self.last_reply_head = _NO_REPLY
        """The head of its last reply: the next one is likely to have the same, until the date in it changes."""

    def request(self, body: Body) -> PreparedRequest:
        """As requests would have prepared it."""
        return self._template.request(self.target, self.cookies, body)

    def data(self, body: Body) -> bytes:
        """The bytes to send."""
        encoded = body.encoded
        length, head = self._sized
        if len(encoded) != length:
            head = self._template.sized(self.head, len(encoded))
            self._sized = len(encoded), head
        return head + encoded

    def with_cookies(self, cookies: str, jar_state: object) -> PreparedCall:
        """The same request with other cookies, none of which expires; replies still refer to this one.

        Raises ValueError, as a template.
        """
        other = _new(PreparedCall)
        other._template, other.method, other.is_head = self._template, self.method, self.is_head
        other.target, other.label, other.where = self.target, self.label, self.where
        other.cookies, other.valid_until = cookies, self.valid_until
        other.made_for = other.holds_for = jar_state
        other.adapter, other.pool, other.source = self.adapter, self.pool, self.source
        other.head, other._sized = self._template.head(self.target, cookies), (-1, b"")
        other.floor_name, other.floor_ns = self.floor_name, self.floor_ns
        other.last_reply_head = self.last_reply_head
        return other
