"""OpenAPI 3.0 and 3.1: one load test for each operation, with data by its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from pytest_ipload.importers.exchanges import split_url
from pytest_ipload.importers.openapi_document import Document, content_of, escaped_key
from pytest_ipload.importers.recording import (
    Body,
    FormBody,
    ImportOptions,
    ImportProblem,
    JsonBody,
    MultipartBody,
    Part,
    RawBody,
    Recording,
    Reference,
    Scenario,
    Step,
    Text,
    json_of,
)
from pytest_ipload.importers.schema_data import NOTHING, SchemaData, given_value
from pytest_ipload.importers.security_schemes import SecuritySchemes
from pytest_ipload.importers.tokens import identifier

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_IGNORED_HEADERS = ("accept", "content-type", "authorization")  # as the specification says
_FORM, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


def read_openapi(text: str, source: str, options: ImportOptions) -> tuple[Recording, list[str]]:
    """A load test for each operation of a document. Raises ImportProblem."""
    document = Document(content_of(text))
    document.version()
    reader = _Operations(document, options)
    scenarios = list(reader.scenarios())
    if not scenarios:
        raise ImportProblem("#/paths: the document has no operations")
    base_url = options.base_url or _server(document)
    notes = [*reader.data.notes, *reader.notes]
    if not re.match("https?://", base_url):
        notes.append(
            "the document does not name the server's host: give it with --base-url, or run with --ipload-base-url"
        )
        if base_url.strip("/"):
            notes.append(f"its server is {base_url}: make that the end of the base URL")
        base_url = ""
    used = {each.name for scenario in scenarios for step in scenario.steps for each in step.references() if each.secret}
    variables = {name: what for name, what in reader.security.variables.items() if name in used}
    return Recording(source, base_url.rstrip("/"), scenarios, variables, notes), []


def _server(document: Document) -> str:
    """The URL of the first server, with the defaults of its variables."""
    servers = document.objects(document.root.get("servers"), "#/servers")
    if not servers:
        return ""
    variables = document.mapping(servers[0].get("variables"), "#/servers/0/variables")
    url = str(servers[0].get("url", ""))
    for name, variable in variables.items():
        default = document.mapping(variable, f"#/servers/0/variables/{escaped_key(name)}").get("default", "")
        url = url.replace(f"{{{name}}}", str(default))
    if re.match("(?i)https?://", url):
        origin, path, _, _ = split_url(url, "#/servers/0/url")
        return origin + "".join(f"/{segment.literal}" for segment in path if segment.literal)
    return url


class _Operations:
    def __init__(self, document: Document, options: ImportOptions) -> None:
        self._document = document
        self.data = SchemaData(document)
        self.security = SecuritySchemes(document, options)
        self.notes: dict[str, None] = {}

    def scenarios(self) -> Iterator[Scenario]:
        """One for each operation."""
        paths = self._document.mapping(self._document.root.get("paths"), "#/paths")
        for path, given in paths.items():
            place = f"#/paths/{escaped_key(path)}"
            if str(path).startswith("x-"):
                continue
            if not str(path).startswith("/"):
                raise ImportProblem(f"{place}: a path has to begin with /")
            item = self._document.mapping(given, place)
            for method in _METHODS:
                if method in item:
                    operation = self._document.mapping(item[method], f"{place}/{method}")
                    yield self._scenario(str(path), method, item, operation, f"{place}/{method}")

    def _scenario(
        self, path: str, method: str, item: Mapping[str, Any], operation: Mapping[str, Any], place: str
    ) -> Scenario:
        self.data.unmet.clear()
        parameters = {}
        for where, holder in ((place.rpartition("/")[0], item), (place, operation)):
            for each in self._document.objects(holder.get("parameters"), f"{where}/parameters"):
                parameters[str(each.get("in")), str(each.get("name"))] = each
        credentials = self.security.credentials(operation, place)
        headers, query, cookies = [*credentials.headers], [*credentials.query], [*credentials.cookies]
        values: dict[str, str] = {}
        for (kind, name), parameter in parameters.items():
            value = self._parameter(parameter, kind, name, place)
            if value is NOTHING:
                continue
            if kind == "path":
                values[name] = "/".join(quote(part, safe=",;=.") for part in (_joined(value, parameter),))
            elif kind == "query":
                query += [(key, Text.of(each)) for key, each in _in_query(name, value, parameter)]
            elif kind == "header" and name.lower() not in _IGNORED_HEADERS:
                headers.append((name, Text.of(_joined(value, parameter))))
            elif kind == "cookie":
                cookies.append(("" if not cookies else "; ", name, Text.of(_joined(value, parameter))))
        if cookies:
            headers.append(("Cookie", _cookie_header(cookies)))
        body, mime = self._body(operation, place)
        if mime:
            headers.append(("Content-Type", Text.of(mime)))
        step = Step(
            method=method.upper(),
            origin="",
            path=tuple(Text.of(segment) for segment in _filled(path, values).split("/")[1:]),
            query=tuple(query),
            raw_query="" if credentials.query else urlencode([(key, text.literal or "") for key, text in query]),
            headers=tuple(headers),
            body=body,
            auth=credentials.auth,
            follow=method != "head",
            expect=self._statuses(operation, place),
            label=f"{method.upper()} {path}",
        )
        return Scenario(
            _name(operation, method, path),
            (self.security.without_secrets(step),),
            about=_about(operation, method, path),
            open_places=tuple(self.data.unmet),
        )

    def _parameter(self, parameter: Mapping[str, Any], kind: str, name: str, place: str) -> Any:
        """The value of a parameter, NOTHING if it can be left out: those are sent only if the document has a value."""
        place = f"{place}/parameters/{escaped_key(name)}"
        required = parameter.get("required") is True or kind == "path"
        example = self._example(parameter, place)
        if example is not NOTHING:
            return example
        content = self._document.mapping(parameter.get("content"), f"{place}/content")
        for mime, media in content.items():
            value = self.data.value(
                self._document.mapping(media, place).get("schema", {}), f"{place}/content/{escaped_key(mime)}"
            )
            return json.dumps(value) if required else NOTHING
        schema = parameter.get("schema", {})
        known = (
            given_value(self._document.mapping(schema, f"{place}/schema")) if isinstance(schema, Mapping) else NOTHING
        )
        if not required and (known is NOTHING or known is None):
            return NOTHING
        return self.data.value(schema, f"{place}/schema")

    def _example(self, holder: Mapping[str, Any], place: str) -> Any:
        """The example of a parameter or a media type."""
        if "example" in holder:
            return holder["example"]
        for name, each in self._document.mapping(holder.get("examples"), f"{place}/examples").items():
            example = self._document.mapping(each, f"{place}/examples/{escaped_key(name)}")
            if "value" in example:
                return example["value"]
        return NOTHING

    def _body(self, operation: Mapping[str, Any], place: str) -> tuple[Body, str]:
        """The body, and its content type if it is not the one that requests would give."""
        place = f"{place}/requestBody"
        content = self._document.mapping(
            self._document.mapping(operation.get("requestBody"), place).get("content"), f"{place}/content"
        )
        if not content:
            return None, ""
        mime = min(content, key=_preference)
        place = f"{place}/content/{escaped_key(mime)}"
        media = self._document.mapping(content[mime], place)
        value = self._example(media, place)
        if value is NOTHING:
            value = self.data.value(media.get("schema", {}), f"{place}/schema")
        kind = str(mime).partition(";")[0].strip().lower()
        if _is_json(kind):
            plain = _plain(value, place)
            if plain is None:
                return RawBody(Text.of("null")), str(mime)
            return JsonBody(json_of(plain)), "" if kind in ("application/json", "*/*") else str(mime)
        if kind == _FORM and isinstance(value, Mapping):
            return FormBody(
                tuple((str(key), Text.of(each)) for key, item in value.items() for each in _texts(item))
            ), ""
        if kind == _MULTIPART and isinstance(value, Mapping):
            return MultipartBody(tuple(self._parts(value, media, place))), ""
        text = value if isinstance(value, str) else json.dumps(_plain(value, place))
        if kind.endswith("xml") and not isinstance(value, str):
            self.notes[f"{place}: XML is not made by its schema; put the body in"] = None
            text = "<text/>"
        return RawBody(Text.of(text)), "application/octet-stream" if kind == "*/*" else str(mime)

    def _parts(self, value: Mapping[str, Any], media: Mapping[str, Any], place: str) -> Iterator[Part]:
        schema = self._document.mapping(media.get("schema"), f"{place}/schema")
        properties = self._document.mapping(schema.get("properties"), f"{place}/schema/properties")
        for key, item in value.items():
            each = self._document.mapping(properties.get(key), f"{place}/schema/properties/{escaped_key(key)}")
            items = self._document.mapping(each.get("items"), place) if "items" in each else each
            is_file = items.get("format") == "binary" or "contentMediaType" in items
            for text in _texts(item):
                filename, mime = (f"{identifier(str(key), 'file')}.txt", "text/plain") if is_file else (None, "")
                yield Part(str(key), Text.of(text), filename, mime)

    def _statuses(self, operation: Mapping[str, Any], place: str) -> tuple[int | str, ...]:
        """The statuses of success that the document names; none: the usual ones."""
        responses = self._document.mapping(operation.get("responses"), f"{place}/responses")
        found: list[int | str] = []
        for key in responses:
            status = str(key).lower()
            if re.fullmatch("[23][0-9][0-9]", status):
                found.append(int(status))
            elif re.fullmatch("[23]xx", status):
                found.append(status)
        return tuple(sorted(found, key=str))


def _name(operation: Mapping[str, Any], method: str, path: str) -> str:
    given = operation.get("operationId")
    return given if isinstance(given, str) and re.search("[A-Za-z]", given) else f"{method} {path}"


def _about(operation: Mapping[str, Any], method: str, path: str) -> str:
    summary = operation.get("summary")
    text = " ".join(summary.split())[:60] if isinstance(summary, str) else ""
    shown = f"{method.upper()} {path}" + (f": {text}" if text else "")
    return (shown + "." if shown[-1:] not in ".!?" else shown) if len(shown) < 80 else f"{method.upper()} {path}"


def _preference(mime: str) -> int:
    kind = str(mime).partition(";")[0].strip().lower()
    order = ("application/json", _FORM, _MULTIPART)
    return order.index(kind) if kind in order else 0 if _is_json(kind) else len(order)


def _is_json(kind: str) -> bool:
    return kind in ("application/json", "*/*", "application/*") or kind.endswith("+json")


def _plain(value: Any, place: str) -> Any:
    """A value that JSON has."""
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=str))
    except (ValueError, RecursionError, TypeError):
        raise ImportProblem(f"{place}: its example is not a value of JSON") from None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str, ensure_ascii=False)


def _texts(value: Any) -> list[str]:
    return [_text(each) for each in value] if isinstance(value, list) else [_text(value)]


def _joined(value: Any, parameter: Mapping[str, Any]) -> str:
    """A value in the style ``simple``: items between commas."""
    if isinstance(value, Mapping):
        sign = "=" if parameter.get("explode") is True else ","
        return ",".join(f"{key}{sign}{_text(each)}" for key, each in value.items())
    return ",".join(_texts(value))


def _in_query(name: str, value: Any, parameter: Mapping[str, Any]) -> list[tuple[str, str]]:
    style, explode = str(parameter.get("style", "form")), parameter.get("explode")
    if style == "deepObject" and isinstance(value, Mapping):
        return [(f"{name}[{key}]", _text(each)) for key, each in value.items()]
    if isinstance(value, Mapping) and explode is not False:
        return [(str(key), _text(each)) for key, each in value.items()]
    if isinstance(value, list) and (explode is True or (explode is None and style == "form")):
        return [(name, text) for text in _texts(value)]
    if isinstance(value, list):
        return [(name, {"spaceDelimited": " ", "pipeDelimited": "|"}.get(style, ",").join(_texts(value)))]
    return [(name, _joined(value, parameter))]


def _filled(path: str, values: Mapping[str, str]) -> str:
    """The path with its parameters in it; those that the document does not describe are ``1``."""

    def fill(found: re.Match[str]) -> str:
        return values.get(found[1]) or "1"

    return re.sub(r"\{([^{}/]+)\}", fill, path)


def _cookie_header(cookies: list[tuple[str, str, Text]]) -> Text:
    parts: list[str | Reference] = []
    for sign, name, text in cookies:
        parts += [f"{sign}{name}=", *text.parts]
    return Text(tuple(parts))
