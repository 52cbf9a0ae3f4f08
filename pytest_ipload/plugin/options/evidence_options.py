"""The options that say what is kept and shown of single requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_ipload.settings.session_settings import EVIDENCE

INI_KEYS = ("ipload_mask", "ipload_trace")
MOST_EVIDENCE = 100
_LONGEST_NAME = 100


def add_evidence_options(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Register them."""
    group.addoption(
        "--ipload-evidence",
        metavar="N",
        help="Keep the N slowest and the first N failed requests of each name, with their replies, for the reports; "
        f"0 keeps none. Default: {EVIDENCE}",
    )
    mask = "of a header, parameter or field whose value is masked like a password"
    group.addoption("--ipload-mask", metavar="NAME", action="append", help=f"Name {mask} (may be given several times)")
    parser.addini("ipload_mask", f"Names, one per line, {mask}", type="linelist")
    group.addoption(
        "--ipload-debug",
        action="store_true",
        default=None,
        help="Print each request and reply of a functional run: 1 user, 1 iteration, no thresholds",
    )
    trace = "Give each request of a user the header traceparent (W3C Trace Context): one trace for each iteration"
    group.addoption("--ipload-trace", action="store_true", default=None, help=trace)
    parser.addini("ipload_trace", f"{trace}. Default: false", type="bool", default=False)


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
