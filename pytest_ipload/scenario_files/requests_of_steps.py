"""Request steps: from their keys to one function that sends the request, checks the reply and captures from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_ipload.base.errors import ScenarioFailed
from pytest_ipload.base.process_environment import ENVIRONMENT
from pytest_ipload.scenario_files.captures import capture
from pytest_ipload.scenario_files.expectations import NOTHING_EXPECTED, Expectation
from pytest_ipload.scenario_files.grammar import Step
from pytest_ipload.scenario_files.located import Run
from pytest_ipload.scenario_files.scope import Scope
from pytest_ipload.scenario_files.shapes import Fields
from pytest_ipload.scenario_files.values import Getter, Template, as_text, compiled, getter_of

Resolve = Callable[[Any], Any]
"""Gives the value of a setting."""
_BEFORE_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def default_name(step: Step) -> str:
    """Method and path as they are written: ``GET /items/{id}``."""
    url = step.fields[step.kind]
    text = url.shown() if isinstance(url, Template) else url
    path = re.split(r"[?#]", _BEFORE_PATH.sub("", text, count=1), maxsplit=1)[0]
    return f"{step.kind.upper()} {path.strip() or '/'}"


def request_step(step: Step, folder: Path, expect: Expectation, headers: Mapping[str, Any], resolve: Resolve) -> Run:
    """The function of a request. ``expect`` and ``headers`` are the defaults; these headers depend on steps."""
    fields, method = step.fields, step.kind
    expectation = fields.get("expect", NOTHING_EXPECTED).over(expect)
    captures = fields.get("capture", ())
    constants: dict[str, Any] = {}
    changing: list[tuple[str, Getter]] = []
    for key, getter in _keywords(fields, folder, headers, resolve).items():
        if callable(getter):
            changing.append((key, getter))
        else:
            constants[key] = getter
    statuses = expectation.only_statuses
    if statuses:
        constants["expect"] = statuses[0] if len(statuses) == 1 else statuses
    name = fields.get("name", default_name(step))
    if isinstance(name, str):
        constants["name"] = name
    else:
        changing.append(("name", _named(name.getter())))
    get_url = getter_of(fields[method])
    checks_all = statuses is None
    shown = name if isinstance(name, str) else name.shown()

    def send(scope: Scope) -> None:
        keywords = {**constants, **{key: get(scope) for key, get in changing}} if changing else constants
        if checks_all:

            def check(response: Any) -> bool:
                expectation.check(response, scope, shown)
                return True

            keywords = {**keywords, "expect": check}
        response = getattr(scope.session, method)(get_url(scope), **keywords)
        if not scope.in_iteration:
            expectation.check(response, scope, shown)
        if captures:
            capture(captures, response, scope, shown)

    return send


def _named(get: Getter) -> Getter:
    """The name of a request, without a secret of the environment: reports show it."""
    return lambda scope: ENVIRONMENT.hide_secrets(as_text(get(scope)))


def _keywords(fields: Fields, folder: Path, headers: Mapping[str, Any], resolve: Resolve) -> dict[str, Any]:
    """Keywords of the session's method: values, or functions of the scope."""
    keywords: dict[str, Any] = {}
    if "timeout" in fields and (timeout := resolve(fields["timeout"])) is not None:
        keywords["timeout"] = timeout
    if "params" in fields:
        keywords["params"] = _made(fields["params"], _parameters)
    if headers or "headers" in fields:
        keywords["headers"] = _headers({**headers}, fields.get("headers", {}))
    if "json" in fields:
        keywords["json"] = compiled(fields["json"]) or fields["json"]
    if "data" in fields:
        keywords["data"] = _made(fields["data"], _form)
    if "files" in fields:
        keywords["files"] = _files(fields["files"], folder, resolve)
    return keywords


def _made(tree: Any, make: Callable[[Any], Any]) -> Any:
    """What is made of a tree: now, or for each scope."""
    get = compiled(tree)
    return make(tree) if get is None else lambda scope: make(get(scope))


def _parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as texts, as JSON writes them; null leaves one out."""
    return {
        key: [_plain(each) for each in value] if isinstance(value, list) else _plain(value)
        for key, value in values.items()
    }


def _plain(value: Any) -> str | None:
    return None if value is None else as_text(value)


def _form(data: Any) -> Any:
    return _parameters(data) if isinstance(data, Mapping) else as_text(data).encode()


def _headers(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """The headers of a step; those of the defaults that have no value yet are left out."""
    names = {name.lower() for name in own}
    optional = {name: getter_of(each) for name, each in defaults.items() if name.lower() not in names}
    get_own = compiled(dict(own))
    if not optional and get_own is None:
        return _parameters(own)

    def get(scope: Scope) -> dict[str, Any]:
        headers = _parameters(own if get_own is None else get_own(scope))
        for name, get_value in optional.items():
            try:
                headers[name] = _plain(get_value(scope))
            except ScenarioFailed:  # what captures it comes later
                continue
        return headers

    return get


def _files(files: Mapping[str, Fields], folder: Path, resolve: Resolve) -> Getter:
    """The uploads by their fields. A file is read once, when it is first sent."""
    parts = []
    for field, each in files.items():
        path = folder / str(resolve(each["file"]))
        if not path.is_file():
            raise each["file"].place.fault(f"files: there is no file {path}")
        parts.append((field, path, getter_of(each.get("name", path.name)), getter_of(each.get("type"))))
    contents: dict[Path, bytes] = {}

    def get(scope: Scope) -> dict[str, Any]:
        uploads: dict[str, Any] = {}
        for field, path, name, kind in parts:
            content = contents.get(path)
            if content is None:
                content = contents[path] = path.read_bytes()
            sent_as = kind(scope)
            uploads[field] = (name(scope), content) if sent_as is None else (name(scope), content, sent_as)
        return uploads

    return get
