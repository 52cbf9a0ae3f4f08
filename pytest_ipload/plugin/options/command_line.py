"""The options and ini keys of the session: registered, read and checked. Those of loads: ``settings.table``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import pytest

from pytest_ipload.plugin.options.baseline_options import read_settings
from pytest_ipload.plugin.options.evidence_options import INI_KEYS, add_evidence_options, read_evidence_settings
from pytest_ipload.plugin.options.explain_option import read_explain
from pytest_ipload.settings.parsing import (
    as_count,
    as_loopback_endpoint,
    as_url,
    did_you_mean,
    listed,
)
from pytest_ipload.settings.session_settings import AUTO, LOG, OFF, POOL_CHECKS, STRICT, SessionSettings
from pytest_ipload.settings.table import SETTINGS, Parser, Setting, as_check_names

_WHOLE_OR_TEXT: Any = int | str if pytest.version_tuple >= (9, 2) else "string"
"""The type of ini keys for whole numbers: pytest's own TOML tables (``[tool.pytest]``) contain such numbers."""
_OTHER_INI_KEYS = (
    "ipload_thresholds",
    "ipload_allowed_hosts",
    "ipload_pools",
    "ipload_names",
    "ipload_profiles",
    "ipload_pin",
    "ipload_strict",
    "ipload_environment",
    *INI_KEYS,
)
_OF_SEGMENTS = ("segment", "weights", "store", "store_wait", "start_at", "start_every")
_INI_TYPES: Mapping[Parser, Any] = {as_count: _WHOLE_OR_TEXT, as_check_names: "linelist"}


def add_options(parser: pytest.Parser) -> None:
    """Register all options and ini keys."""
    # Several groups: with each option that pytest adds to a group, it looks at all that are there.
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
    add_evidence_options(parser, group)


def _add_lists(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Options that may be given several times."""
    group.addoption(
        "--ipload-threshold",
        metavar="EXPR",
        action="append",
        help="Threshold added to every load test, as in 'p95 < 200ms' (may be given several times)",
    )
    parser.addini("ipload_thresholds", "Thresholds added to every load test, one per line", type="linelist")
    group.addoption(
        "--ipload-allow-host",
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
        metavar="HOW",
        choices=POOL_CHECKS,
        help="What to do with addresses that cannot be used: strict (error), skip (leave them out) or off "
        "(no check). Default: strict",
    )
    group.addoption(
        "--ipload-progress",
        metavar="HOW",
        choices=(AUTO, LOG, OFF),
        help="Live numbers: auto (a line at the bottom of a terminal), log (a line every 10 s, for an "
        "output that is read later) or off. Default: auto; none with -q",
    )
    group.addoption(
        "--ipload-prometheus",
        metavar="[HOST:]PORT",
        help="Serve live numbers to Prometheus at this port (0 is any free one) of 127.0.0.1 or "
        "another loopback address",
    )
    group.addoption(
        "--ipload-otlp",
        metavar="URL",
        help="Push metrics to this OTLP receiver (HTTP, protobuf) every 10 s and at the end; needs the extra 'otel'",
    )
    pin = "The CPU that this process is pinned to during a load: auto, off or the CPU's number. Default: auto"
    group.addoption("--ipload-pin", metavar="CPU", help=pin)
    parser.addini("ipload_pin", pin, type=_WHOLE_OR_TEXT, default=None)


def _add_environment(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Which environment of scenario files is used."""
    environment = "Environment of the scenario files (*.ipload.yaml): a name under their key 'environments'"
    group.addoption("--ipload-environment", metavar="NAME", help=environment)
    parser.addini("ipload_environment", environment, type="string", default="")


def _add_divisions(group: pytest.OptionGroup) -> None:
    """How a load is divided: into rounds, over workers and over machines."""
    group.addoption(
        "--ipload-shards",
        metavar="N",
        help="Maximum number of pytest-xdist workers sharing a load. Default: all",
    )
    group.addoption(
        "--ipload-rounds",
        metavar="N",
        help="Run each load N times, one after the other. Default: 1, and 5 with --ipload-against",
    )
    group.addoption(
        "--ipload-against",
        metavar="URL",
        help="Another base URL to compare with: its rounds and those of the current one alternate",
    )


def _add_segments(group: pytest.OptionGroup) -> None:
    """Which part of each load a session runs, and how it meets the other parts."""
    group.addoption(
        "--ipload-segment",
        metavar="I/N|auto",
        help="Run only part I (from 0) of N of each load; 'python -m pytest_ipload merge' judges their JSON files. "
        "auto: as the variables of Kubernetes, GitHub, GitLab, CircleCI, Slurm or AWS Batch say",
    )
    group.addoption(
        "--ipload-weights",
        metavar="W,W,...",
        help="How large the segments are compared with each other, one whole number for each. Default: equal",
    )
    group.addoption(
        "--ipload-store",
        metavar="URL|FOLDER",
        help="Where segments meet, by GET and PUT or in a folder that all of them see: they start together, one that "
        "fails stops the others, and their JSON files go there",
    )
    group.addoption(
        "--ipload-store-wait",
        metavar="T",
        help="How long a segment waits for the others before each load. Default: 5m",
    )
    group.addoption(
        "--ipload-start-at",
        metavar="TIME",
        help="No load begins before this time: Unix seconds, or as in 2026-01-31T12:00:00Z",
    )
    group.addoption(
        "--ipload-start-every",
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
        group.addoption(flag, action="store_true", default=None, help=text)


def _argument(setting: Setting) -> Parser:
    """The setting's parser, with argparse's exception for invalid values."""

    def parse(text: str) -> Any:
        try:
            return setting.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def session_settings(config: pytest.Config) -> SessionSettings:
    """Read and check the session's settings. Raises ``pytest.UsageError``."""
    _check_ini_keys(config)
    command_line, ini = {}, {}
    for setting in SETTINGS:
        value = config.getoption(setting.dest) if setting.option else None
        if value is not None:
            command_line[setting.key] = value
        given = _ini_value(config, setting.dest) if setting.ini else None
        if given is not None:
            ini[setting.key] = _checked(setting.parse, given, f"ini key {setting.dest}")
    if config.getoption("ipload_only") and config.getoption("ipload_skip"):
        raise pytest.UsageError("--ipload-only and --ipload-skip together select nothing; give one of them")
    profile_name, profile = _profile(config)
    return SessionSettings(
        command_line,
        ini,
        thresholds=_all_given(config, "ipload_thresholds", "--ipload-threshold", _threshold),
        allowed_hosts=_all_given(config, "ipload_allowed_hosts", "--ipload-allow-host", _host),
        disabled=bool(config.getoption("ipload_disable") or config.getoption("ipload_debug")),
        pool_check=config.getoption("ipload_pool_check") or STRICT,
        named_pools=tuple(_ini_value(config, "ipload_pools")),
        pin=_given_pin(config),
        shards=_option(config, "shards", as_count),
        rounds=_option(config, "rounds", as_count),
        against=_option(config, "against", as_url),
        concurrent=bool(config.getoption("ipload_concurrent")),
        progress=config.getoption("ipload_progress") or AUTO,
        prometheus=_option(config, "prometheus", as_loopback_endpoint),
        otlp=_option(config, "otlp", as_url),
        strict=bool(config.getoption("ipload_strict") or _ini_value(config, "ipload_strict")),
        baselines=read_settings(config),
        **_segment_settings(config),
        profile_name=profile_name,
        profile=profile,
        names=_names(config),
        **read_evidence_settings(config, _ini_value),
        explain=read_explain(config),
    )


def _segment_settings(config: pytest.Config) -> Mapping[str, Any]:
    if all(config.getoption(f"ipload_{name}") is None for name in _OF_SEGMENTS):
        return {}
    from pytest_ipload.plugin.options.segment_options import read_segment_settings

    return read_segment_settings(config, _option)


def _names(config: pytest.Config) -> tuple[str, ...]:
    """The templates of request names, checked."""
    lines = tuple(filter(None, map(str.strip, _ini_value(config, "ipload_names"))))
    if lines:
        from pytest_ipload.settings.url_names import UrlNames

        _checked(UrlNames, lines, "ini key ipload_names")
    return lines


def _profile(config: pytest.Config) -> tuple[str | None, Mapping[str, Any]]:
    """The name of the profile that the command line chooses, and its settings. All profiles are checked."""
    name: str | None = config.getoption("ipload_profile")
    lines = _ini_value(config, "ipload_profiles")
    if name is None and not lines:
        return None, {}
    from pytest_ipload.settings.profiles import chosen, parse_profiles

    profiles = _checked(parse_profiles, lines, "ini key ipload_profiles")
    return name, {} if name is None else _checked(lambda given: chosen(profiles, given), name, "--ipload-profile")


def _check_ini_keys(config: pytest.Config) -> None:
    """pytest only warns about unregistered keys: a threshold with a typo in its key would be ignored."""
    given: Any = getattr(config, "_inicfg", None)  # reading the public one makes pytest 9 warn
    for key in config.inicfg if given is None else given:
        if not key.startswith("ipload"):
            continue
        try:
            config.getini(key)
        except (TypeError, ValueError, pytest.UsageError) as error:  # of a value that is wrong, ``_ini_value`` says so
            if "unknown configuration value" in str(error):
                known = [*(setting.dest for setting in SETTINGS if setting.ini), *_OTHER_INI_KEYS]
                hint = did_you_mean(key, known)
                raise pytest.UsageError(f"unknown ini key {key!r}{hint}; known: {listed(known)}") from None


def _option(config: pytest.Config, name: str, parse: Parser) -> Any:
    """The value of an option without an ini key, checked; None where it is not given."""
    given = config.getoption(f"ipload_{name}")
    return None if given is None else _checked(parse, given, f"--ipload-{name.replace('_', '-')}")


def _given_pin(config: pytest.Config) -> int | str:
    for value, place in (
        (config.getoption("ipload_pin"), "--ipload-pin"),
        (_ini_value(config, "ipload_pin"), "ini key ipload_pin"),
    ):
        if value is not None:
            pin: int | str = _checked(_pin, value, place)
            return pin
    return AUTO


def _pin(given: Any) -> int | str:
    text = str(given).strip()  # pytest's own TOML tables have numbers
    if text in (AUTO, OFF):
        return text
    from pytest_ipload.load.generator.affinity import allowed_cpus

    allowed = sorted(allowed_cpus())
    if not allowed:
        raise ValueError(f"{text!r}: this system cannot pin a process to a CPU; give 'auto' or 'off'")
    cpu = next((cpu for cpu in allowed if str(cpu) == text), None)
    if cpu is None:
        known = ", ".join(map(str, allowed))
        raise ValueError(f"{text!r} is not a CPU available to this process; give 'auto', 'off' or one of {known}")
    return cpu


def _ini_value(config: pytest.Config, key: str) -> Any:
    """The value of an ini key; an error about its type names the key."""
    try:
        return config.getini(key)
    except (TypeError, ValueError, pytest.UsageError) as error:  # which one depends on pytest's version
        text = str(error)
        # For an invalid truth value pytest does not name the key.
        raise pytest.UsageError(text if key in text else f"ini key {key}: {text}; give true or false") from None


def _checked(parse: Parser, given: Any, place: str) -> Any:
    try:
        return parse(given)
    except ValueError as error:
        from pytest_ipload.base.masking import masked

        raise pytest.UsageError(masked(f"{place}: {error}")) from None


def _all_given(config: pytest.Config, key: str, flag: str, parse: Parser) -> tuple[str, ...]:
    """The values of an ini key and of an option with many values, together."""
    options = config.getoption(flag.removeprefix("--").replace("-", "_")) or ()
    return (
        *(_checked(parse, text, f"ini key {key}") for text in _ini_value(config, key)),
        *(_checked(parse, text, flag) for text in options),
    )


def _threshold(text: Any) -> str:
    from pytest_ipload.verdict.threshold.expression import Threshold

    return Threshold.parse(text).text


def _host(pattern: str) -> str:
    from pytest_ipload.transport.allowed_hosts import AllowedHosts

    AllowedHosts([pattern])
    return pattern
