"""The headers of a session, and the count of changes that is looked at for each request."""

from __future__ import annotations

from typing import Any, cast

from requests.structures import CaseInsensitiveDict


class Changes:
    """The number of changes of something that is looked at for each request."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class SessionHeaders(CaseInsensitiveDict[Any]):
    """A session's headers, which count their ``changes``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.changes = Changes()
        super().__init__(*args, **kwargs)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.changes.count += 1

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.changes.count += 1

    @classmethod
    def adopt(cls, headers: object) -> None:
        """Turn a plain header of requests into a SessionHeaders, in place: its owner keeps using it."""
        if type(headers) is CaseInsensitiveDict:
            headers.__class__ = cls
            cast(SessionHeaders, headers).changes = Changes()
