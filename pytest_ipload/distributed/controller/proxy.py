"""An object in place of one of xdist's, for xdist and other plugins; it passes on what it does not do itself."""

from __future__ import annotations

from typing import Any


class Proxy:
    """Attributes that the class does not have are read from the wrapped object, set on it and deleted from it.

    It is an instance of that object's class, too.

    A subclass declares its own attributes in ``__slots__``.
    """

    __slots__ = ("_inner",)

    _inner: Any

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property  # type: ignore[misc]  # for isinstance() and the name; never set
    def __class__(self) -> Any:
        return self._inner.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            setattr(self._inner, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._inner, name)
