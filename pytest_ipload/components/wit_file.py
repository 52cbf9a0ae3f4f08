"""The file that describes the world of components, in WIT (WebAssembly Interface Types)."""

from __future__ import annotations

from pathlib import Path


def wit_path() -> Path:
    """Where the file is: toolchains take its path, or what ``python -m pytest_ipload wit`` prints."""
    return Path(__file__).with_name("load.wit")
