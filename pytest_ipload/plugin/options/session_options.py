"""What the command line and the ini file say for the whole session, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_ipload.plugin.options.baseline_options import read_settings
from pytest_ipload.plugin.options.command_line import ini_file_keys
from pytest_ipload.plugin.options.evidence_options import read_evidence_settings
from pytest_ipload.plugin.options.explain_option import read_explain
from pytest_ipload.settings.parsing import (
    as_count,
    as_loopback_endpoint,
    as_url,
    did_you_mean,
    listed,
)
from pytest_ipload.settings.session_settings import SessionSettings
from pytest_ipload.settings.table import AUTO, OFF, SETTINGS, STRICT, Parser

_OTHER_INI_KEYS = (
    "ipload_thresholds",
    "ipload_allowed_hosts",
    "ipload_pools",
    "ipload_names",
    "ipload_profiles",
    "ipload_pin",
    "ipload_strict",
    "ipload_environment",
    "ipload_mask",
    "ipload_trace",
)
_OF_SEGMENTS = ("segment", "weights", "store", "store_wait", "start_at", "start_every")


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
    for key in ini_file_keys(config):
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
