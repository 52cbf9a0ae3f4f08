"""The ``raw`` of a reply of libcurl: urllib3's own response, which reads its body from here."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from email.message import Message
from typing import Any

from urllib3 import HTTPHeaderDict
from urllib3.response import HTTPResponse
from urllib3.util.response import is_fp_closed

from pytest_ipload.transport.curl.curl_head import fields_of, status_of


class _Original:
    """What ``http.cookiejar`` and urllib3 look at in a response of http.client."""

    def __init__(self, fields: tuple[tuple[str, str], ...], close: Callable[[], object]) -> None:
        self.msg = Message()
        for name, value in fields:
            self.msg[name] = value
        self.close = close

    def isclosed(self) -> bool:
        return True


class CurlRaw(HTTPResponse):
    """A response of urllib3 that gives its body as it comes."""

    @classmethod
    def of(cls, head: list[bytes], body: Any, method: str, url: str) -> CurlRaw:
        """The response with the lines of this head, and this body: a file that has ``read1``. Raises ValueError."""
        version, status, reason = status_of(head[0])
        fields = fields_of(head[1:])
        original: Any = _Original(fields, body.close)
        return cls(
            body=body,
            headers=HTTPHeaderDict(fields),
            status=status,
            version=version,
            version_string=f"HTTP/{version // 10}" if version >= 20 else "HTTP/1.1",
            reason=reason,
            preload_content=False,
            decode_content=False,
            original_response=original,
            request_method=method,
            request_url=url,
        )

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Generator[bytes, None, None]:
        """As in urllib3, but without waiting until there are ``amt`` bytes: an event is there when it has come."""
        while not is_fp_closed(self._fp):
            data = self.read1(amt, decode_content)
            while data:
                yield data
                data = self.read1(amt, decode_content) if self._has_rest else b""

    @property
    def _has_rest(self) -> bool:
        return len(self._decoded_buffer) > 0


class BodyStream(io.RawIOBase):
    """The body of a transfer that goes on while it is read."""

    def __init__(self, receive: Callable[[], bytes], stop: Callable[[], object]) -> None:
        self._receive = receive
        self._stop = stop
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read1(self, amount: int | None = -1) -> bytes:
        """What is there, but at least one byte unless it is the end."""
        if self.closed:
            return b""
        if not self._rest:
            self._rest = memoryview(self._receive())
        limit = len(self._rest) if amount is None or amount < 0 else amount
        data, self._rest = bytes(self._rest[:limit]), self._rest[limit:]
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, amount: int | None = -1) -> bytes:
        """As in ``io``: ``amount`` bytes, or all to the end."""
        parts: list[bytes] = []
        left = -1 if amount is None or amount < 0 else amount
        while left and (data := self.read1(left)):
            parts.append(data)
            left -= len(data) if left > 0 else 0
        return b"".join(parts)

    def close(self) -> None:
        if not self.closed:
            self._stop()
        super().close()
