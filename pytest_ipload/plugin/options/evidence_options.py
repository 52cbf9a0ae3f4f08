"""The options that say what is kept and shown of single requests, read and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_ipload.settings.table import EVIDENCE

MOST_EVIDENCE = 100
_LONGEST_NAME = 100


def read_evidence_settings(config: pytest.Config, ini: Callable[[pytest.Config, str], Any]) -> dict[str, Any]:
    """The fields of ``SessionSettings`` that they give. Raises ``pytest.UsageError``."""
    masks = [
        *(_name(line, "ini key ipload_mask") for line in ini(config, "ipload_mask")),
        *(_name(name, "--ipload-mask") for name in config.getoption("ipload_mask") or ()),
    ]
    debug = bool(config.getoption("ipload_debug"))
    if debug and (config.getoption("dist", "no") != "no" or hasattr(config, "workerinput")):
        raise pytest.UsageError(
            "--ipload-debug prints requests as they are made, and workers of pytest-xdist have no terminal; remove -n, "
            "or give -n0"
        )
    return {
        "masks": tuple(masks),
        "evidence": _evidence(config.getoption("ipload_evidence")),
        "debug": debug,
        "trace": bool(config.getoption("ipload_trace") or ini(config, "ipload_trace")),
    }


def _evidence(given: str | None) -> int:
    text = "" if given is None else given.strip()
    if given is None:
        return EVIDENCE
    if not (text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= MOST_EVIDENCE):
        raise pytest.UsageError(
            f"--ipload-evidence: {given!r:.100} is not valid; give a whole number from 0 (keep none) to {MOST_EVIDENCE}"
        )
    return int(text)


def _name(given: str, place: str) -> str:
    name = given.strip()
    if not name or len(name) > _LONGEST_NAME or not all(each.isalnum() or each in "_.-" for each in name):
        raise pytest.UsageError(
            f"{place}: {given!r:.120} is not the name of a header or field; give one of letters, digits, '-', '_' and "
            f"'.', at most {_LONGEST_NAME} of them, as in X-Customer"
        )
    return name
