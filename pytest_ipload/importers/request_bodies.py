"""Bodies of requests: from their text and media type to JSON, a form, its parts, or the text itself."""

from __future__ import annotations

import json
import re
from email.message import Message

from pytest_ipload.base.untrusted_files import refuse_constant
from pytest_ipload.importers.exchanges import form_fields
from pytest_ipload.importers.recording import (
    Body,
    FormBody,
    JsonBody,
    MultipartBody,
    Part,
    RawBody,
    Text,
    json_of,
)

_DEEPEST = 40
_IMPLIED = {JsonBody: "application/json", FormBody: "application/x-www-form-urlencoded"}


def body_of(content: str | bytes, mime: str) -> Body:
    """The body that has this content."""
    if not content:
        return None
    kind = mime.partition(";")[0].strip().lower()
    if isinstance(content, str):
        if kind == "application/json" or kind.endswith("+json"):
            return _json_body(content)
        if kind == "application/x-www-form-urlencoded" and (fields := form_fields(content)) is not None:
            return FormBody(tuple((key, Text.of(value)) for key, value in fields))
    if kind == "multipart/form-data" and (parts := multipart_parts(content, mime)) is not None:
        return MultipartBody(parts)
    return RawBody(Text.of(content) if isinstance(content, str) else _as_text(content))


def needs_content_type(body: Body, mime: str) -> bool:
    """Whether the header has to be given, because requests would send another one or none."""
    kind, _, parameters = mime.lower().partition(";")
    if body is None or isinstance(body, MultipartBody) or not mime:
        return False
    return _IMPLIED.get(type(body)) != kind.strip() or parameters.replace(" ", "") not in ("", "charset=utf-8")


def _as_text(content: bytes) -> Text | bytes:
    try:
        return Text.of(content.decode())
    except UnicodeDecodeError:
        return content


def _json_body(content: str) -> Body:
    """JSON that stays the same when it is parsed and written again; else the text."""
    try:
        value = json.loads(content, parse_constant=refuse_constant, object_pairs_hook=_without_duplicates)
        json.dumps(value, allow_nan=False)
        _check_depth(value, _DEEPEST)
    except (ValueError, RecursionError):
        return RawBody(Text.of(content))
    # requests sends nothing for an empty value but an empty object or array
    return RawBody(Text.of(content)) if value is None else JsonBody(json_of(value))


def _check_depth(value: object, left: int) -> None:
    """Raise ValueError for a value that is too deep to be readable as a literal."""
    if left == 0:
        raise ValueError("too deep")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(each, left - 1)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key twice")
    return value


def multipart_parts(content: str | bytes, mime: str) -> tuple[Part, ...] | None:
    """The parts of a form, or None if it cannot be taken apart."""
    boundary = _parameter("content-type", mime, "boundary")
    if not boundary:
        return None
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    pieces = re.split(rb"(?:\A|\r?\n)--" + re.escape(boundary.encode()) + rb"(?:--)?[ \t]*(?:\r?\n|\Z)", data)
    parts = [_part(piece) for piece in pieces if piece.strip()]
    return tuple(part for part in parts if part is not None) if parts and None not in parts else None


def _part(piece: bytes) -> Part | None:
    head, blank, content = re.split(rb"(\r?\n\r?\n|\Z)", piece, maxsplit=1)
    fields = dict(re.findall(r"(?im)^([\w-]+):[ \t]*(.*?)\r?$", head.decode("utf-8", "replace")))
    known = {key.lower(): value for key, value in fields.items()}
    name = _parameter("content-disposition", known.get("content-disposition", ""), "name")
    if name is None or not blank:
        return None
    filename = _parameter("content-disposition", known["content-disposition"], "filename")
    mime = known.get("content-type", "").strip()
    if filename is None:
        return Part(name, _as_text(content), None, mime)
    return Part(name, _as_text(content), filename, mime)


def _parameter(header: str, value: str, name: str) -> str | None:
    if not value:
        return None
    message = Message()
    message[header] = re.sub(r"[\r\n]+", " ", value)
    found = message.get_param(name, header=header)
    if isinstance(found, tuple):
        return found[2]
    return found if found is None else str(found)
