"""All options and ini keys, registered. Loaded by every pytest run; ``session_options`` reads them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from pytest_ipload.report.files.registry import REPORT_FILES
from pytest_ipload.settings.parsing import as_count
from pytest_ipload.settings.table import (
    AUTO,
    EVIDENCE,
    LOG,
    OFF,
    POOL_CHECKS,
    SETTINGS,
    Parser,
    Setting,
    as_check_names,
)

_WHOLE_OR_TEXT: Any = int | str if pytest.version_tuple >= (9, 2) else "string"
"""The type of ini keys for whole numbers: pytest's own TOML tables (``[tool.pytest]``) contain such numbers."""
_INI_TYPES: Mapping[Parser, Any] = {as_count: _WHOLE_OR_TEXT, as_check_names: "linelist"}


def add_options(parser: pytest.Parser) -> None:
    """Register all options and ini keys."""
    # Several groups, and each option with its attribute: otherwise pytest looks at all that are there for each of them.
    group = parser.getgroup("ipload", "load tests (pytest-ipload)")
    for setting in SETTINGS:
        if setting.option:
            group.addoption(
                setting.flag, dest=setting.dest, metavar=setting.metavar, type=_argument(setting), help=setting.help
            )
        if setting.ini:
            parser.addini(setting.dest, setting.help, type=_INI_TYPES.get(setting.parse, "string"), default=None)
    group = parser.getgroup("ipload-session", "sessions with load tests (pytest-ipload)")
    _add_lists(parser, group)
    _add_profiles(parser, group)
    _add_switches(parser, group)
    _add_environment(parser, group)
    _add_divisions(group)
    _add_segments(group)
    _add_flags(parser, group)
    _add_evidence(parser, group)
    _add_reports(parser)
    _add_baselines(parser)


def _add_lists(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Options that may be given several times."""
    group.addoption(
        "--ipload-threshold",
        dest="ipload_threshold",
        metavar="EXPR",
        action="append",
        help="Threshold added to every load test, as in 'p95 < 200ms' (may be given several times)",
    )
    parser.addini("ipload_thresholds", "Thresholds added to every load test, one per line", type="linelist")
    group.addoption(
        "--ipload-allow-host",
        dest="ipload_allow_host",
        metavar="HOST",
        action="append",
        help="Allowed target host, as in shop.test or *.shop.test (may be given several times). "
        "Loopback, private addresses and the base URL's host are always allowed.",
    )
    parser.addini("ipload_allowed_hosts", "Allowed target hosts, one per line", type="linelist")
    parser.addini("ipload_names", "Request names by URL template, one per line, as in /items/{id}", type="linelist")
    parser.addini("ipload_pools", "Named pools of source addresses, one per line: name = SPEC", type="linelist")


def _add_profiles(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Named sets of settings."""
    group.addoption(
        "--ipload-profile",
        dest="ipload_profile",
        metavar="NAME",
        help="Take the settings of this profile (ini key ipload_profiles) as if they were on the command line",
    )
    parser.addini(
        "ipload_profiles",
        "Named sets of settings, one per line: NAME = KEY=VALUE KEY=VALUE, as in soak = users=200 duration=4h",
        type="linelist",
    )


def _add_switches(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Options of the session that are not settings of a load."""
    group.addoption(
        "--ipload-pool-check",
        dest="ipload_pool_check",
        metavar="HOW",
        choices=POOL_CHECKS,
        help="What to do with addresses that cannot be used: strict (error), skip (leave them out) or off "
        "(no check). Default: strict",
    )
    group.addoption(
        "--ipload-progress",
        dest="ipload_progress",
        metavar="HOW",
        choices=(AUTO, LOG, OFF),
        help="Live numbers: auto (a line at the bottom of a terminal), log (a line every 10 s, for an "
        "output that is read later) or off. Default: auto; none with -q",
    )
    group.addoption(
        "--ipload-prometheus",
        dest="ipload_prometheus",
        metavar="[HOST:]PORT",
        help="Serve live numbers to Prometheus at this port (0 is any free one) of 127.0.0.1 or "
        "another loopback address",
    )
    group.addoption(
        "--ipload-otlp",
        dest="ipload_otlp",
        metavar="URL",
        help="Push metrics to this OTLP receiver (HTTP, protobuf) every 10 s and at the end; needs the extra 'otel'",
    )
    pin = "The CPU that this process is pinned to during a load: auto, off or the CPU's number. Default: auto"
    group.addoption("--ipload-pin", dest="ipload_pin", metavar="CPU", help=pin)
    parser.addini("ipload_pin", pin, type=_WHOLE_OR_TEXT, default=None)


def _add_environment(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Which environment of scenario files is used."""
    environment = "Environment of the scenario files (*.ipload.yaml): a name under their key 'environments'"
    group.addoption("--ipload-environment", dest="ipload_environment", metavar="NAME", help=environment)
    parser.addini("ipload_environment", environment, type="string", default="")


def _add_divisions(group: pytest.OptionGroup) -> None:
    """How a load is divided: into rounds, over workers and over machines."""
    group.addoption(
        "--ipload-shards",
        dest="ipload_shards",
        metavar="N",
        help="Maximum number of pytest-xdist workers sharing a load. Default: all",
    )
    group.addoption(
        "--ipload-rounds",
        dest="ipload_rounds",
        metavar="N",
        help="Run each load N times, one after the other. Default: 1, and 5 with --ipload-against",
    )
    group.addoption(
        "--ipload-against",
        dest="ipload_against",
        metavar="URL",
        help="Another base URL to compare with: its rounds and those of the current one alternate",
    )


def _add_segments(group: pytest.OptionGroup) -> None:
    """Which part of each load a session runs, and how it meets the other parts."""
    group.addoption(
        "--ipload-segment",
        dest="ipload_segment",
        metavar="I/N|auto",
        help="Run only part I (from 0) of N of each load; 'python -m pytest_ipload merge' judges their JSON files. "
        "auto: as the variables of Kubernetes, GitHub, GitLab, CircleCI, Slurm or AWS Batch say",
    )
    group.addoption(
        "--ipload-weights",
        dest="ipload_weights",
        metavar="W,W,...",
        help="How large the segments are compared with each other, one whole number for each. Default: equal",
    )
    group.addoption(
        "--ipload-store",
        dest="ipload_store",
        metavar="URL|FOLDER",
        help="Where segments meet, by GET and PUT or in a folder that all of them see: they start together, one that "
        "fails stops the others, and their JSON files go there",
    )
    group.addoption(
        "--ipload-store-wait",
        dest="ipload_store_wait",
        metavar="T",
        help="How long a segment waits for the others before each load. Default: 5m",
    )
    group.addoption(
        "--ipload-start-at",
        dest="ipload_start_at",
        metavar="TIME",
        help="No load begins before this time: Unix seconds, or as in 2026-01-31T12:00:00Z",
    )
    group.addoption(
        "--ipload-start-every",
        dest="ipload_start_every",
        metavar="T",
        help="With --ipload-start-at: interval between the starts of successive loads",
    )


def _add_flags(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Flags."""
    strict = "Fail thresholds with a confidence and comparisons with a baseline that are undecided"
    parser.addini("ipload_strict", f"{strict}. Default: false", type="bool", default=False)
    switches = {
        "--ipload-strict": strict,
        "--ipload-concurrent": "With pytest-xdist, run each load test whole on one worker, alongside other tests",
        "--ipload-disable": "Run load tests once, as functional tests: 1 user, 1 iteration, no thresholds",
        "--ipload-only": "Select load tests only",
        "--ipload-skip": "Skip load tests",
    }
    for flag, text in switches.items():
        group.addoption(flag, dest=flag[2:].replace("-", "_"), action="store_true", default=None, help=text)


def _add_evidence(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """What is kept and shown of single requests."""
    group.addoption(
        "--ipload-evidence",
        dest="ipload_evidence",
        metavar="N",
        help="Keep the N slowest and the first N failed requests of each name, with their replies, for the reports; "
        f"0 keeps none. Default: {EVIDENCE}",
    )
    mask = "of a header, parameter or field whose value is masked like a password"
    group.addoption(
        "--ipload-mask",
        dest="ipload_mask",
        metavar="NAME",
        action="append",
        help=f"Name {mask} (may be given several times)",
    )
    parser.addini("ipload_mask", f"Names, one per line, {mask}", type="linelist")
    group.addoption(
        "--ipload-debug",
        dest="ipload_debug",
        action="store_true",
        default=None,
        help="Print each request and reply of a functional run: 1 user, 1 iteration, no thresholds",
    )
    trace = "Give each request of a user the header traceparent (W3C Trace Context): one trace for each iteration"
    group.addoption("--ipload-trace", dest="ipload_trace", action="store_true", default=None, help=trace)
    parser.addini("ipload_trace", f"{trace}. Default: false", type="bool", default=False)


def _add_reports(parser: pytest.Parser) -> None:
    """What is written, and the stacks of the target."""
    group = parser.getgroup("ipload-reports", "reports of load tests (pytest-ipload)")
    for kind in REPORT_FILES:
        group.addoption(kind.flag, dest=kind.dest, metavar=kind.metavar, help=kind.help)
    # Written from samples, not from results: see ``jsonl_output``.
    group.addoption(
        "--ipload-jsonl", dest="ipload_jsonl", metavar="PATH", help="Write each sample as a line of k6's JSON output"
    )
    group.addoption(
        "--ipload-explain",
        dest="ipload_explain",
        metavar="PID[,PID]",
        nargs="?",
        const="",
        help="Sample the stacks of a local Python target during each load, and name the lines that make it slow. "
        "Without a PID: the processes that listen at the target's port. Write --ipload-explain=PID",
    )


def _add_baselines(parser: pytest.Parser) -> None:
    """Saved runs, and what to compare with."""
    group = parser.getgroup("ipload-baselines", "baselines of load tests (pytest-ipload)")
    group.addoption(
        "--ipload-save",
        dest="ipload_save",
        metavar="NAME",
        help="Save the results of this run in .ipload, under this name",
    )
    group.addoption(
        "--ipload-autosave",
        dest="ipload_autosave",
        action="store_true",
        default=None,
        help="Save the results of this run in .ipload; its name consists of the commit and the time",
    )
    group.addoption(
        "--ipload-compare",
        dest="ipload_compare",
        metavar="REF",
        nargs="?",
        const="",
        help="Compare with saved runs: --ipload-compare=REF names them, by name, number, file or folder. Without REF: "
        "the newest comparable runs on this kind of machine",
    )
    group.addoption(
        "--ipload-compare-fail",
        dest="ipload_compare_fail",
        metavar="LIMIT",
        action="append",
        help="Fail a load test that is worse than what it is compared with by more than this, as in p95:10%% or "
        "p95:10%%,50ms (may be given several times). Implies --ipload-compare, unless --ipload-against is given",
    )


def _argument(setting: Setting) -> Parser:
    """The setting's parser, with argparse's exception for invalid values."""

    def parse(text: str) -> Any:
        try:
            return setting.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def is_any_given(config: pytest.Config) -> bool:
    """Whether the command line or the ini file has any option or key of this plugin, known or not."""
    options, overrides = vars(config.option), config.getoption("override_ini", None) or ()
    return (
        any(name.startswith("ipload") and value is not None for name, value in options.items())
        or any(key.startswith("ipload") for key in ini_file_keys(config))
        or any(text.startswith("ipload") for text in overrides)
    )


def ini_file_keys(config: pytest.Config) -> Iterable[str]:
    """The keys in the ini file."""
    given: Any = getattr(config, "_inicfg", None)  # reading the public one makes pytest 9 warn
    keys: Iterable[str] = config.inicfg if given is None else given
    return keys
