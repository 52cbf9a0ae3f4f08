"""The tables of importers and of writers. A new one is a row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pytest_ipload.importers.curl_command import is_curl, read_curl
from pytest_ipload.importers.har import is_har, read_har
from pytest_ipload.importers.load_plan import recording_of
from pytest_ipload.importers.openapi import read_openapi
from pytest_ipload.importers.openapi_document import is_openapi
from pytest_ipload.importers.python_writer import notes_on as notes_on_python
from pytest_ipload.importers.python_writer import write_python
from pytest_ipload.importers.recording import Capture, ImportOptions, ImportProblem, Recording
from pytest_ipload.importers.yaml_writer import can_capture, notes_on, write_yaml

MOST_BYTES = 256 << 20
"""The maximum size of a file to import."""


@dataclass(frozen=True)
class Importer:
    """A format that can be imported."""

    name: str
    what: str
    recognises: Callable[[str], bool]
    read: Callable[[str, str, ImportOptions], tuple[Recording, list[str]]]
    """From the text of a file and its name to a recording, and the secrets that must not be in its text."""


@dataclass(frozen=True)
class Writer:
    """A form in which load tests are written."""

    name: str
    write: Callable[[Recording, ImportOptions], str]
    can_capture: Callable[[Capture], bool]
    """Whether it can express a capture."""
    basic_auth: bool = True
    """Whether it has a way to give user and password."""
    notes: Callable[[Recording], list[str]] = lambda recording: []
    """What cannot be the same in this form."""


def _har(text: str, source: str, options: ImportOptions) -> tuple[Recording, list[str]]:
    found = read_har(text, options)
    return recording_of(source, found.base_url, found.exchanges, found.notes, options)


def _curl(text: str, source: str, options: ImportOptions) -> tuple[Recording, list[str]]:
    found = read_curl(text, options)
    return recording_of(source, found.base_url, found.exchanges, found.notes, options)


IMPORTERS = (
    Importer("har", "a HAR recording of a browser or proxy", is_har, _har),
    Importer("openapi", "an OpenAPI 3 document, in JSON or YAML", is_openapi, read_openapi),
    Importer("curl", "curl command lines", is_curl, _curl),
)
WRITERS = (
    Writer("python", write_python, lambda capture: True, notes=notes_on_python),
    Writer("yaml", write_yaml, can_capture, basic_auth=False, notes=notes_on),
)


def importer_of(text: str, name: str | None) -> Importer:
    """The importer with a name, or the one that recognises the text. Raises ImportProblem."""
    for importer in IMPORTERS:
        if importer.name == name or (name is None and importer.recognises(text)):
            return importer
    known = "; ".join(f"--from {each.name}: {each.what}" for each in IMPORTERS)
    raise ImportProblem(f"the format is not known: it {_looks_like(text)}. Formats: {known}")


def _looks_like(text: str) -> str:
    """What a file that no importer recognises seems to be."""
    start = text.lstrip()[:2000]
    if not start:
        return "is empty"
    if text.startswith("PK\x03\x04"):
        return "looks like a ZIP archive: unpack it, and import the .har file in it"
    if text.startswith("\x1f"):
        return "looks like gzip: unpack it first"
    if start.startswith(("{", "[")):
        keys = ", ".join(re.findall(r'"([\w.-]{1,30})"\s*:', start)[:5])
        return f"looks like JSON{f' with the keys {keys}' if keys else ''}, but has neither log.entries nor openapi"
    if start.startswith("<"):
        return "looks like HTML or XML"
    return "looks like text, in which no line begins with 'curl'"
