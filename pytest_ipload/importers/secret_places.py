"""Where a secret is left in a load test that must not be written: said without the secret, and without other values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_ipload.base.masking import HIDDEN
from pytest_ipload.importers.path_names import label_of
from pytest_ipload.importers.recording import FormBody, Json, JsonBody, MultipartBody, Place, Recording, Step, Text

_WORDS = {
    "path": "its path", "query": "the parameter", "header": "the header", "form": "the form field",
    "json": "the JSON field", "raw": "its body",
}  # fmt: skip


def place_of_secret(recording: Recording, secrets: Sequence[str]) -> str:
    """The first request that has one of the secrets, and the field: ``request 3 (POST /orders), the header X-Key``."""
    for number, step in enumerate(recording.steps(), 1):
        field = _field(step, secrets)
        if field is not None:
            return _hidden(f"request {number} ({label_of(step)}), {field}", secrets)
    return "the notes or the names of variables, and in no request"


def _field(step: Step, secrets: Sequence[str]) -> str | None:
    """The field that has one of the secrets, in words; None if none has."""
    found: list[str] = []

    def look(place: Place, text: Text) -> Text:
        if any(isinstance(part, str) and _has(part, secrets) for part in text.parts):
            found.append(f"{_WORDS[place.kind]} {place.key if place.kind not in ('path', 'raw') else ''}".rstrip())
        return text

    def look_at_number(place: Place, number: int) -> Json:
        if _has(str(number), secrets):
            found.append(f"{_WORDS[place.kind]} {place.key}")
        return number

    step.changed(look, look_at_number)
    if found:
        return found[0]
    for what, names in _names(step):
        if any(_has(name, secrets) for name in names):
            return f"the name of a {what}"
    return "a capture, a file or its credentials" if _has(repr(step), secrets) else None


def _names(step: Step) -> Iterable[tuple[str, Iterable[str]]]:
    yield "parameter", [name for name, _ in step.query]
    yield "header", [name for name, _ in step.headers]
    if isinstance(step.body, JsonBody):
        yield "JSON field", _keys(step.body.value)
    if isinstance(step.body, FormBody):
        yield "form field", [name for name, _ in step.body.fields]
    if isinstance(step.body, MultipartBody):
        yield "form field", [part.name for part in step.body.parts]


def _keys(value: Json) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for each in value.values() for key in _keys(each))]
    return [key for each in value for key in _keys(each)] if isinstance(value, list) else []


def _has(text: str, secrets: Sequence[str]) -> bool:
    return any(secret in text for secret in secrets)


def _hidden(text: str, secrets: Sequence[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
