"""Named sets of settings: the ini key ``ipload_profiles`` and the option ``--ipload-profile``."""

from __future__ import annotations

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from pytest_ipload.settings.parsing import as_stages
from pytest_ipload.settings.profiles import chosen, parse_profiles
from pytest_ipload.settings.table import BY_KEY

TEXTS = {
    "users": ("7", 7),
    "stages": ('"10s:5,30s:5"', as_stages("10s:5,30s:5")),
    "arrival_rate": ("true", True),
    "pool": ("'10.0.0.1, 10.0.0.2'", "10.0.0.1, 10.0.0.2"),
    "think_time": ("100ms-300ms", (0.1, 0.3)),
    "ip_exclusive": ("true", True),
    "fast": ("off", False),
    "suppress_health_check": ("bare-calls,few-ports", ("bare-calls", "few-ports")),
    "http": ("2", "2"),
    "tls_resumption": ("on", True),
}


def test_values_are_written_as_in_ini_files_and_quoted_as_in_a_shell() -> None:
    line = "  all.of-them_1 = " + "  ".join(f"{key}={text}" for key, (text, _) in TEXTS.items())
    assert parse_profiles(["", line]) == {"all.of-them_1": {key: value for key, (_, value) in TEXTS.items()}}


def test_the_profiles_of_the_documentation_are_some() -> None:
    text = (Path(__file__).parents[2] / "docs" / "load-models.md").read_text(encoding="utf-8")
    block = text.partition("ipload_profiles =\n")[2].partition("```")[0]
    assert list(parse_profiles(block.splitlines())) == ["smoke", "soak", "peak"]


@pytest.mark.parametrize("key", BY_KEY)
def test_each_key_has_a_value_that_can_be_written(key: str) -> None:
    texts = (
        [TEXTS[key][0]] if key in TEXTS else ["3", "3s", "3/s", "http://127.0.0.1", "poisson", "on-arrival", "random"]
    )
    texts += ["session", "request", "wait"]
    readable = []
    for text in texts:
        try:
            readable.append(parse_profiles([f"a = {key}={text}"]))
        except ValueError:
            continue
    assert readable


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["soak users"], "there is no '='; write NAME = KEY=VALUE KEY=VALUE, as in *"),
        (["2x = users=1"], "'2x' is not a name; it has letters*"),
        (["= users=1"], "'' is not a name; *"),
        (["soak ="], "no settings follow; *"),
        (["soak = users"], "'users' has no '='; *"),
        (["soak = users=1 users=2"], "'users' is given twice"),
        (["soak = users="], "users: no value follows the '='"),
        (["soak = usrs=1"], "unknown key 'usrs' (did you mean 'users'?); known: users, *"),
        (["soak = users=many"], "users: 'many' is not a whole number"),
        (["soak = duration=30"], "duration: *30*"),
        (["soak = ip_exclusive=perhaps"], "ip_exclusive: 'perhaps' is neither true nor false"),
        (["soak = suppress_health_check=bare-call"], "*'bare-call' is an unknown health check*"),
        (['soak = stages="10s:5'], "no closing quotation; put values with blanks in quotes*"),
        (["soak = users=1", "soak = users=2"], "there are two profiles 'soak'; use another name"),
    ],
)
def test_what_is_wrong_with_a_line(lines: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=r"^line '") as error:
        parse_profiles(lines)
    assert fnmatch(str(error.value), f"line {lines[-1]!r}: {says}")


def test_a_line_that_is_wrong_ends_the_run_before_collection(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nipload_profiles =\n    soak = users=many\n")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    line = "line 'soak = users=many': users: 'many' is not a whole number"
    result.stderr.fnmatch_lines([f"ERROR: ini key ipload_profiles: {line}"])


def test_an_unknown_profile_names_the_known_ones() -> None:
    profiles = parse_profiles(["soak = users=1", "smoke = users=2"])
    with pytest.raises(ValueError, match=r"no profile 'soakk' \(did you mean 'soak'\?\); known: 'soak', 'smoke'"):
        chosen(profiles, "soakk")
    with pytest.raises(ValueError, match=r"no profile 'x', and no other; define it with the ini key ipload_profiles"):
        chosen({}, "x")


INI = """
[pytest]
ipload_users = 9
ipload_profiles =
    soak = users=3 iterations=4 think_time=1ms
    wave = stages={}
"""
TEST = """
import pytest

@pytest.mark.ipload(users=2, iterations=2, timeout="4s")
def test_it(ipload_user): pass
"""


def profile(pytester: pytest.Pytester, *options: str) -> dict[str, Any]:
    pytester.makepyfile(TEST)
    pytester.runpytest("--ipload-json=out.json", *options).assert_outcomes(passed=1)
    [test] = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
    found: dict[str, Any] = test["profile"]
    return found


def test_a_profile_counts_as_command_line_and_gives_way_to_it(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI.format("100ms:2,0s:2"))
    found = profile(pytester, "--ipload-profile=soak", "--ipload-iterations=1")
    assert (found["users"], found["iterations"], found["think_time_s"], found["timeout_s"]) == (3, 1, [0.001] * 2, 4.0)
    origins = {key: origin for key, origin in found["origins"].items() if origin != "default"}
    assert origins == {
        "users": "--ipload-profile=soak: users",
        "think_time": "--ipload-profile=soak: think_time",
        "iterations": "command line",
        "timeout": "marker",
    }
    assert profile(pytester)["users"] == 2


def test_the_command_line_scales_the_stages_of_a_profile(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI.format("100ms:4"))
    found = profile(pytester, "--ipload-profile=wave", "--ipload-users=2")
    assert found["stages"] == [[0.1, 2.0]]


def test_the_plan_shows_the_profile(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI.format("1s:1"))
    pytester.makepyfile(TEST)
    result = pytester.runpytest("--collect-only", "-v", "--ipload-profile=soak")
    result.stdout.fnmatch_lines(["*3 users (--ipload-profile=soak: users)*"])


def test_settings_of_one_profile_that_contradict_each_other(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI.format("1s:1 users=3"))
    pytester.makepyfile(TEST)
    result = pytester.runpytest("--ipload-profile=wave")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["stages and users are both from --ipload-profile=wave and contradict each other*"])


def test_a_functional_run_is_one_with_a_profile_too(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI.format("1s:1"))
    found = profile(pytester, "--ipload-profile=soak", "--ipload-disable")
    assert (found["users"], found["iterations"], found["origins"]["users"]) == (1, 1, "--ipload-disable")


@pytest.mark.usefixtures("xdist")
def test_workers_take_the_profile_too(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.pytest.ini_options]\nipload_profiles = ['soak = users=3 iterations=4']\n")
    assert profile(pytester, "-n2", "--ipload-profile=soak")["users"] == 3


def test_a_pool_of_a_profile_is_tried_before_anything_is_collected(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nipload_profiles =\n    far = pool=203.0.113.7\n")
    pytester.makepyfile(TEST)
    result = pytester.runpytest("--ipload-profile=far")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --ipload-profile=far: pool: *203.0.113.7*"])
