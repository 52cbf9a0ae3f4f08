"""The base URL of a session, and URLs that are relative to it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from requests.exceptions import MissingSchema

from pytest_ipload.base.errors import SettingError

_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class BaseUrlMissing(SettingError, MissingSchema):
    """A URL is relative, and there is no base URL to resolve it against."""


def check_base_url(base_url: str | None) -> None:
    """Raise SettingError for a base URL that is not complete."""
    if base_url is not None and not (_ABSOLUTE.match(base_url) and urlsplit(base_url).netloc):
        raise SettingError(f"base URL {base_url!r} is not complete; write it as in 'http://localhost:8000'")


def resolved(url: Any, base_url: str | None, *, is_of_user: bool = True) -> str:
    """The URL, resolved against the base URL if it is relative. Raises BaseUrlMissing if there is none.

    A session that is not ``is_of_user`` was made by hand, and no setting of the load gives it a base URL.
    """
    text = (url.decode() if isinstance(url, bytes) else str(url)).lstrip()
    if _ABSOLUTE.match(text):
        return text
    if base_url is not None:
        # Of the slashes between the two just one is left; a path may begin with more, as an object's key does.
        return f"{base_url.rstrip('/')}/{text.removeprefix('/')}"
    if ":" not in text:  # what has a colon and no host, requests explains itself
        how = "set base_url or --ipload-base-url" if is_of_user else "make the session with LoadSession(base_url=...)"
        raise BaseUrlMissing(
            f"Invalid URL {text!r}: it is relative, and there is no base URL to resolve it against; "
            f"{how}, or give the whole URL as in 'http://localhost:8000/'"
        )
    return text
