from __future__ import annotations

import contextlib
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.plugin.options import session_options
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.parsing import did_you_mean
from pytest_ipload.settings.resolution import marker_settings, parse_key, resolve
from pytest_ipload.settings.session_settings import SessionSettings
from pytest_ipload.settings.stages import Stages
from pytest_ipload.settings.table import BY_KEY, SETTINGS, Setting

DURATIONS = ("duration", "ramp_up", "ramp_down", "warmup", "graceful_stop", "timeout")
SPANS = ("think_time", "pacing")
COUNTS = ("users", "iterations", "total_iterations", "max_users")
RATES = ("arrival_rate", "max_rate")

GOOD: list[tuple[str, Any, Any]] = [
    *((key, given, 7) for key in COUNTS for given in (7, "7")),
    *((key, given, 90.0) for key in DURATIONS for given in ("1m30s", 90, 90.0)),
    *((key, given, 0.0) for key in ("ramp_up", "ramp_down", "warmup", "graceful_stop") for given in (0, "0s")),
    *((key, "100ms-300ms", (0.1, 0.3)) for key in SPANS),
    *((key, given, (1.0, 1.0)) for key in SPANS for given in ("1s", 1, 1.0)),
    *((key, 0, (0.0, 0.0)) for key in SPANS),
    *((key, given, 100.0) for key in RATES for given in ("100/s", "6000/m", 100, 100.0)),
    ("arrival_rate", True, True),
    ("arrivals", "poisson", "poisson"),
    *(
        ("stages", given, Stages(((10.0, 50.0), (90.0, 0.0)), are_rates=False))
        for given in ("10s:50,1m30s:0", " 10s : 50 , 90s:0", [("10s", 50), (90, 0)], ((10, "50"), ("90s", 0.0)))
    ),
    *(
        ("stages", given, Stages(((10.0, 50.0), (90.0, 0.5), (1.0, 0.0)), are_rates=True))
        for given in ("10s:50/s,1m30s:30/m,1s:0/s", [(10, "50/s"), ("90s", "30/m"), (1, "0/m")])
    ),
    *(("seed", given, expected) for given, expected in ((0, 0), (-3, -3), ("42", 42), ("-3", -3))),
    ("pool", " 127.0.0.1-127.0.0.5 ", "127.0.0.1-127.0.0.5"),
    ("base_url", "http://127.0.0.1:8000/api", "http://127.0.0.1:8000/api"),
    ("base_url", "HTTPS://[::1]:8000", "HTTPS://[::1]:8000"),
    ("ip_binding", "user", "user"),
    ("bind_sockets", "all", "all"),
    ("bind_sockets", "session", "session"),
    ("ip_order", "round-robin", "round-robin"),
    ("ip_exclusive", False, False),
    ("fast", False, False),
    ("fast", "off", False),
    ("fast", "on", True),
    ("tls_resumption", "on", True),
    *(("http", given, str(given)) for given in ("1.1", 1.1, "2", 2, "3", 3)),
    ("ip_binding", "iteration", "iteration"),
    ("ip_binding", "request", "request"),
    ("ip_order", "random", "random"),
    ("ip_order", "least-used", "least-used"),
    ("ip_exclusive", True, True),
    ("set_up", "before", "before"),
    ("set_up", "on-arrival", "on-arrival"),
    ("on_exhaustion", "share", "share"),
    ("on_exhaustion", "wait", "wait"),
    ("on_exhaustion", "fail", "fail"),
    ("on_exhaustion", "fallback", "fallback"),
    ("ip_wait", "1s", 1.0),
    ("start_after", "1s", 1.0),
    ("fallback_pool", "127.0.0.1", "127.0.0.1"),
    ("suppress_health_check", [], ()),
    ("suppress_health_check", (), ()),
    *(("suppress_health_check", given, ("few-ports",)) for given in ("few-ports", ["few-ports"], ("few-ports",))),
    ("suppress_health_check", ["few-ports", "late-starts"], ("few-ports", "late-starts")),
]

NO_TARGETS: list[Any] = [[(1, True)], [(1, -1)], [(1, None)], [(1, [])]]
NO_STAGES: list[Any] = [5, None, True, [5], [(1,)], ["10s:5"]]

BAD: list[tuple[str, Any, str]] = [
    *((key, given, "too small; give a whole number of 1 or more") for key in COUNTS for given in (0, -1, "0", "-1")),
    *(
        (key, given, f"{given!r} is not a whole number")
        for key in (*COUNTS, "seed")
        for given in ("", "x", "1.5", "1e3", 1.5, 2.0, True, None, [1])
    ),
    *((key, given, "is not a duration") for key in (*DURATIONS, *SPANS) for given in ("", "5", "x", "-5s")),
    *(
        (key, given, f"{given!r} is not a duration; give seconds as a number of 0 or more")
        for key in (*DURATIONS, *SPANS)
        for given in (-1, -0.5, float("nan"), True, None, [1], (0.1, 0.3))
    ),
    *(
        (key, given, "is too long; the longest duration is 8760h")
        for key in (*DURATIONS, *SPANS)
        for given in ("8761h", "9" * 400 + "h", float("inf"), 10**400)
    ),
    *((key, "1s-8761h", "is too long") for key in SPANS),
    *((key, "3s-1s", "runs backwards") for key in SPANS),
    *((key, -1, "'100ms-300ms'") for key in SPANS),
    *((key, given, "must be greater than 0") for key in ("duration", "timeout") for given in (0, "0s")),
    *((key, given, "must be a non-empty string") for key in ("pool", "base_url") for given in ("", " ", 5, None)),
    *(
        ("base_url", given, "is not a URL; write it as in http://127.0.0.1:8000")
        for given in ("127.0.0.1:8000", "/path", "ftp://host", "http://", "http://:80/", "http://h:x/", "http://[::1")
    ),
    *((key, given, "is not a rate") for key in RATES for given in ("", "5", "x/s", "5/d", "-5/s", None, [1])),
    *((key, given, "is out of range") for key in RATES for given in ("0/s", 0, -1, float("nan"), 10**7, "9999999/s")),
    *((key, False, "False is not a rate") for key in RATES),
    ("max_rate", True, "True is not a rate"),
    ("arrivals", "normal", "'normal' is unknown; allowed: 'constant', 'poisson'"),
    *(("stages", given, "are not valid stages; give segments") for given in NO_STAGES),
    *(("stages", given, "is not a duration") for given in ("", "10:5", ":5", "x:5", ",", "10s:5,", [("10", 5)])),
    *(
        ("stages", given, "is not a valid stage target")
        for given in ("10s:", "10s", "10s:x", "10s:-1", "10s:5%", *NO_TARGETS)
    ),
    ("stages", "10s:5,10s:5/s", "mixes users and rates"),
    ("stages", [], "or has no stages"),
    *(("stages", given, "produce no load") for given in ("10s:0", "0s:5", "5s:0/s", [(0, 0)])),
    ("stages", "8000h:5,8000h:5", "is too long"),
    ("ip_binding", "users", "'users' is unknown; allowed: 'user', 'iteration', 'request'"),
    ("bind_sockets", "none", "'none' is unknown; allowed: 'all', 'session'"),
    ("ip_order", "alphabetic", "unknown; allowed: 'round-robin', 'random', 'least-used'"),
    ("ip_exclusive", 0, "0 is neither True nor False"),
    ("fast", "yes", "'yes' is neither on nor off"),
    ("fast", 0, "0 is neither on nor off"),
    ("tls_resumption", "yes", "'yes' is neither on nor off"),
    *(
        ("http", given, "is not a version of HTTP that is known here")
        for given in ("", "1.0", "h2", 2.0, 4, True, None)
    ),
    ("ip_wait", "5", "not a duration"),
    ("start_after", "-1s", "not a duration"),
    ("fallback_pool", "", "must be a non-empty string"),
    ("on_exhaustion", None, "None is unknown"),
    ("set_up", "later", "'later' is unknown"),
    *(
        ("suppress_health_check", given, "is not a list of health check names; allowed: 'rate-not-reached', ")
        for given in (None, 5, True, {"few-ports": 1}, {"few-ports"})
    ),
    ("suppress_health_check", "", "'' is an unknown health check; allowed: 'rate-not-reached', "),
    (
        "suppress_health_check",
        "few-port",
        "is an unknown health check (did you mean 'few-ports'?); allowed: 'rate-not-reached'",
    ),
    (
        "suppress_health_check",
        ["few-ports", "few-prots"],
        "'few-prots' is an unknown health check (did you mean 'few-ports'?)",
    ),
    ("suppress_health_check", [["few-ports"]], "['few-ports'] is an unknown health check; allowed: "),
]


def session(
    command_line: Mapping[str, Any] | None = None, ini: Mapping[str, Any] | None = None, *, disabled: bool = False
) -> SessionSettings:
    return SessionSettings(command_line or {}, ini or {}, (), (), disabled)


@pytest.mark.parametrize(("key", "given_value", "expected"), GOOD)
def test_a_good_value_is_read(key: str, given_value: Any, expected: Any) -> None:
    value = parse_key(key, given_value)
    assert (type(value), value) == (type(expected), expected)


@pytest.mark.parametrize(("key", "given_value", "why"), BAD)
def test_a_bad_value_is_refused_naming_key_value_and_what_is_allowed(key: str, given_value: Any, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_key(key, given_value)
    assert str(caught.value).startswith(f"{key}: ")
    assert why in str(caught.value)


def test_the_tables_above_have_every_setting() -> None:
    assert {key for key, *_ in GOOD} == {key for key, *_ in BAD} == set(BY_KEY)


@given(
    st.sampled_from(SETTINGS), st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none())
)
def test_any_value_is_either_read_or_refused(setting: Setting, value: Any) -> None:
    with contextlib.suppress(ValueError):
        setting.parse(value)
        assert value is not None


def test_every_setting_is_a_field_of_the_profile() -> None:
    assert set(BY_KEY) | {"origins"} == set(LoadProfile.__dataclass_fields__)


def test_an_unknown_key_is_refused_with_a_guess_and_all_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"^unknown key 'user' \(did you mean 'users'\?\); known: users, iterations, "):
        parse_key("user", 5)


@pytest.mark.parametrize(("word", "hint"), [("usres", " (did you mean 'users'?)"), ("xyz", "")])
def test_a_guess_is_made_only_if_it_is_close(word: str, hint: str) -> None:
    assert did_you_mean(word, ["users", "pool"]) == hint


class TestMarkers:
    def test_the_nearest_one_wins_key_by_key(self) -> None:
        function, cls, module = {"users": 5}, {"users": 2, "duration": "3s"}, {"duration": "9s", "ramp_up": 1}
        merged = marker_settings([(function, ()), (cls, ()), (module, ())])
        assert merged == {"users": 5, "duration": 3.0, "ramp_up": 1.0}

    def test_no_marker_gives_nothing(self) -> None:
        assert marker_settings([]) == {}

    @pytest.mark.parametrize("args", [(50,), (50, "30s"), ("50",)])
    def test_values_without_a_key_are_refused(self, args: tuple[Any, ...]) -> None:
        with pytest.raises(ValueError, match=r"takes keyword arguments only, as in users=50; got ") as caught:
            marker_settings([({"users": 5}, ()), ({}, args)])
        assert ", ".join(map(repr, args)) in str(caught.value)

    @pytest.mark.parametrize("key", ["usres", "users"])
    def test_a_bad_key_or_value_is_refused(self, key: str) -> None:
        with pytest.raises(ValueError, match="users"):
            marker_settings([({key: "many"}, ())])


class TestPrecedence:
    SOURCES = (("command line", 1.0), ("marker", 2.0), ("ini", 3.0))

    @pytest.mark.parametrize("given_by", [("command line", "marker", "ini"), ("marker", "ini"), ("ini",), ()])
    def test_the_first_that_gives_a_value_wins_and_is_remembered(self, given_by: tuple[str, ...]) -> None:
        line, marker, ini = ({"ramp_up": value} if name in given_by else {} for name, value in self.SOURCES)
        profile = resolve(session(line, ini), [(marker, ())], "test_a.py::test_a")
        first = given_by[0] if given_by else "default"
        assert profile.origins["ramp_up"] == first
        assert profile.ramp_up == dict(self.SOURCES).get(first, 0.0)

    def test_each_key_goes_its_own_way(self) -> None:
        given_settings = session({"users": 9}, {"users": 1, "timeout": 2.0})
        profile = resolve(given_settings, [({"users": 5, "duration": 3.0}, ())], "test_a.py::test_a")
        origins = profile.origins
        assert (profile.users, profile.duration, profile.timeout, profile.ramp_up) == (9, 3.0, 2.0, 0.0)
        assert set(origins) == set(BY_KEY)
        assert {key: origin for key, origin in origins.items() if origin != "default"} == {
            "users": "command line",
            "duration": "marker",
            "timeout": "ini",
        }

    @pytest.mark.parametrize(
        ("marker", "ini", "names", "origin"),
        [
            (None, None, (), "default"),
            (("few-ports",), None, ("few-ports",), "marker"),
            (None, ("few-ports",), ("few-ports",), "ini"),
            (("late-starts", "few-ports"), ("few-ports",), ("late-starts", "few-ports"), "marker and ini"),
            ((), ("few-ports",), ("few-ports",), "marker and ini"),
        ],
    )
    def test_suppressed_checks_of_marker_and_ini_add_up(
        self, marker: Any, ini: Any, names: tuple[str, ...], origin: str
    ) -> None:
        key = "suppress_health_check"
        by_marker, by_ini = ({} if given is None else {key: given} for given in (marker, ini))
        profile = resolve(session(ini=by_ini), [(by_marker, ())], "test_a.py::test_a")
        assert profile.suppress_health_check == names
        assert profile.origins[key] == origin

    def test_the_seed_comes_from_the_node_id_unless_given(self) -> None:
        one = resolve(session(), [], "test_a.py::test_one")
        assert one.seed == zlib.crc32(b"test_a.py::test_one")
        assert one.origins["seed"] == "default"
        assert resolve(session(), [], "test_a.py::test_two").seed != one.seed
        assert resolve(session({"seed": 0}), [({"seed": 5}, ())], "test_a.py::test_one").seed == 0

    @pytest.mark.parametrize(
        ("marker", "fixture", "expected"),
        [
            ({}, "http://b", ("http://b", "base_url fixture")),
            ({"base_url": "http://a"}, "http://b", ("http://a", "marker")),
            ({}, None, (None, "default")),
        ],
    )
    def test_the_base_url_of_the_fixture_comes_last(
        self, marker: dict[str, Any], fixture: str | None, expected: tuple[str | None, str]
    ) -> None:
        profile = resolve(session(), [(marker, ())], "test_a.py::test_a", base_url=fixture)
        assert (profile.base_url, profile.origins["base_url"]) == expected

    def test_disabled_means_one_user_and_one_iteration_whoever_says_otherwise(self) -> None:
        line = {"users": 50, "duration": 30.0, "warmup": 5.0, "timeout": 2.0}
        marker = {"iterations": 9, "total_iterations": 8, "pacing": 1.0, "think_time": 1.0}
        profile = resolve(session(line, {"ramp_up": 3.0}, disabled=True), [(marker, ())], "test_a.py::test_a")
        origins = profile.origins
        assert profile.is_functional
        assert not profile.planned
        assert (profile.duration, profile.ramp_up, profile.warmup, profile.think_time[1]) == (None, 0.0, 0.0, 0.0)
        assert profile.timeout == 2.0
        assert origins["users"] == origins["duration"] == "--ipload-disable"
        assert origins["timeout"] == "command line"


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        (session(), False),
        (session({"timeout": 1.0}, {"duration": 2.0}), False),
        (session({"users": 5}), True),
        (session(ini={"users": 5}), True),
        (session({"pool": "127.0.0.1"}), True),
        (session(ini={"pool": "127.0.0.1"}), True),
    ],
)
def test_only_what_asks_something_of_the_machine_is_checked_early(settings: SessionSettings, needed: bool) -> None:
    assert settings.need_preflight is needed


def test_options_and_ini_keys_have_the_names_of_their_keys() -> None:
    setting = BY_KEY["ramp_up"]
    assert (setting.flag, setting.dest) == ("--ipload-ramp-up", "ipload_ramp_up")


def test_the_designed_options_and_ini_keys_are_there() -> None:
    options = (
        "users iterations duration ramp_up stages arrival_rate max_rate warmup graceful_stop pool ip_order base_url "
        "timeout seed fast http tls_resumption"
    )
    inis = "users iterations duration ramp_up warmup pool base_url timeout suppress_health_check tls_resumption"
    assert {setting.key for setting in SETTINGS if setting.option} == set(options.split())
    assert {setting.key for setting in SETTINGS if setting.ini} == set(inis.split())


@pytest.mark.parametrize(("key", "hint"), [("ipload_user", "ipload_users"), ("ipload_treshold", "ipload_thresholds")])
def test_an_unknown_ini_key_of_ours_is_refused(pytester: pytest.Pytester, key: str, hint: str) -> None:
    pytester.makeini(f"[pytest]\n{key} = 50\n")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: unknown ini key '{key}' (did you mean '{hint}'?); known: 'ipload_users', *"])


def test_an_ini_key_of_the_projects_own_is_not_refused(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nipload_budget = 50\n")
    pytester.makeconftest("def pytest_addoption(parser): parser.addini('ipload_budget', 'Requests a day')")
    assert pytester.runpytest().ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_all_our_ini_keys_are_known(pytestconfig: pytest.Config) -> None:
    """The list in the error names every key that the plugin registers."""
    registered = {key for key in vars(pytestconfig)["_parser"]._inidict if key.startswith("ipload_")}
    assert registered == {*(setting.dest for setting in SETTINGS if setting.ini), *session_options._OTHER_INI_KEYS}
