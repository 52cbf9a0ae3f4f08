"""What steps read of a reply: its status, headers, cookies, text and JSON; and how it is shown in messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from pytest_ipload.base.masking import HIDDEN, masked
from pytest_ipload.base.process_environment import ENVIRONMENT
from pytest_ipload.base.text import printable
from pytest_ipload.scenario_files.json_paths import JsonPath, find, written

_LONGEST_SHOWN = 200
_LONGEST_LOOKED_AT = 4000


class Response(Protocol):
    """What steps need of a response of requests."""

    status_code: int
    reason: str | None
    headers: Mapping[str, str]
    cookies: Any
    text: str

    def json(self) -> Any: ...


def json_of(response: Response) -> Any:
    """The body's JSON, parsed once. Raises LookupError if it is none."""
    parsed = vars(response).get("_parsed_json")
    if parsed is None:
        try:
            parsed = vars(response)["_parsed_json"] = (response.json(),)
        except (ValueError, RecursionError):
            raise LookupError(f"the body is not JSON: {beginning(response.text)}") from None
    return parsed[0]


def in_body(response: Response, path: JsonPath) -> Any:
    """What is at a path of the body's JSON. Raises LookupError."""
    return find(json_of(response), path)


def header_of(response: Response, name: str) -> str:
    """A header. Raises LookupError."""
    value = response.headers.get(name)
    if value is None:
        raise LookupError("there is no such header")
    return value


def status_of(response: Response) -> str:
    """The status in words: ``404 Not Found``."""
    return f"{response.status_code} {ENVIRONMENT.hide(response.reason or '')}".rstrip()


def beginning(text: str) -> str:
    """The beginning of a body, as it may be shown."""
    shown = _without_secrets(text)
    return f"'{shown}'" if len(shown) <= _LONGEST_SHOWN else f"'{shown[:_LONGEST_SHOWN]}'..."


def shown_value(value: Any, name: str = "") -> str:
    """A value as it may be shown; not if its ``name`` is that of a secret."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = f"an object of type {type(value).__name__}"
    if name and HIDDEN in masked(f"{name}='{name}-value'"):
        return HIDDEN
    text = _without_secrets(text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _without_secrets(text: str) -> str:
    return printable(masked(ENVIRONMENT.hide(text[: 2 * _LONGEST_LOOKED_AT])[:_LONGEST_LOOKED_AT]))


def last_name(path: JsonPath) -> str:
    """The last name in a path: it tells whether the value is a secret."""
    return next((key for key in reversed(path) if isinstance(key, str) and not key.isdigit()), "")


def body_name(path: JsonPath) -> str:
    """``body.items[0].id``; ``body`` for the whole."""
    text = written(path)
    return f"body{'.' if text and not text.startswith('[') else ''}{text}"
