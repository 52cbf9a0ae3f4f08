"""The reply of a load session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from requests import Response


class LoadResponse(Response):
    """A ``requests.Response`` that knows from which address its request left."""

    __attrs__: ClassVar[list[str]] = [*Response.__attrs__, "source_address"]  # type: ignore[misc]  # what pickle keeps

    # Defaults of the class, because a plain Response becomes a LoadResponse without passing __init__.
    source_address: str | None = None
    """The local address of the connection, as the system reports it; None when unknown."""
    _body_error: Exception | None = None
    _time_to_head: timedelta | None = None

    @classmethod
    def of(cls, response: Response) -> LoadResponse:
        """Turn a plain ``Response`` into a ``LoadResponse``, in place. A subclass of somebody else's is left alone."""
        if type(response) is Response:
            response.__class__ = cls
        elif not isinstance(response, cls):
            vars(response).setdefault("source_address", None)
        return response  # type: ignore[return-value]  # a foreign subclass has what a caller needs

    @property
    def elapsed(self) -> timedelta:
        """From sending the request until its head was read, as requests documents it."""
        value: timedelta = vars(self)["elapsed"]
        return value

    @elapsed.setter
    def elapsed(self, value: timedelta) -> None:
        # requests sets the time that the adapter took. Here this includes the body, so the adapter's own value wins.
        head, self._time_to_head = self._time_to_head, None
        vars(self)["elapsed"] = value if head is None else head

    def read_body(self, time_to_head: timedelta) -> None:
        """Read the body now. If that fails, the error is raised where the body is asked for, as in requests."""
        self._time_to_head = time_to_head
        try:
            _ = self.content
        except Exception as error:
            self._body_error = error

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: Any = False) -> Any:
        """As in requests; ``content``, ``text`` and ``json`` come through here as well."""
        if self._body_error is not None:
            raise self._body_error
        return super().iter_content(chunk_size, decode_unicode)
