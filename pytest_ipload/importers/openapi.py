"""OpenAPI 3.0 and 3.1: one load test for each operation, with data by its schema."""

from __future__ import annotations

from pytest_ipload.importers.recording import ImportOptions, Recording


def is_openapi(text: str) -> bool:
    return False


def read_openapi(text: str, source: str, options: ImportOptions) -> tuple[Recording, list[str]]:
    raise NotImplementedError
