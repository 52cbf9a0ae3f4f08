from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any

import pytest
import requests

import pytest_ipload.base.units
from pytest_ipload.base.code_location import (
    is_user_code,
    place_of_frame,
    place_of_traceback,
    user_traceback,
    visible_traceback,
)


def failure(function: Callable[..., Any], *arguments: Any) -> TracebackType:
    """The traceback of a call that fails, from the call itself on."""
    try:
        function(*arguments)
    except Exception as error:
        traceback = error.__traceback__
        assert traceback is not None
        assert traceback.tb_next is not None
        return traceback.tb_next
    raise AssertionError("it did not fail")


def line_of(function: Callable[..., Any], offset: int = 1) -> str:
    """A line of a function of this file, as a place; the working directory is the project's or any other."""
    path = os.path.relpath(__file__)
    return f"{__file__ if path.startswith('..') else path}:{function.__code__.co_firstlineno + offset}"


def reads_bad_json() -> None:
    json.loads("{")


def compiled(source: str, filename: str) -> Callable[[], Any]:
    module = ModuleType("compiled")
    exec(compile(source, filename, "exec"), vars(module))
    function: Callable[[], Any] = module.function
    return function


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        (__file__, True),
        (json.__file__, False),
        (requests.__file__, False),
        (pytest_ipload.base.units.__file__, False),
        ("<string>", False),
        ("<frozen importlib._bootstrap>", False),
        ("/somewhere/else/test_a.py", True),
        (f"{Path(json.__file__).parent.parent}_of_mine/test_a.py", True),
    ],
)
def test_user_code_is_what_is_neither_installed_nor_of_python(filename: str, expected: bool) -> None:
    assert is_user_code(filename) is expected


def test_a_relative_file_is_looked_up_from_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(json.__file__).parent)
    is_user_code.cache_clear()
    try:
        assert is_user_code("decoder.py") is False
    finally:
        is_user_code.cache_clear()


def test_the_place_of_a_failure_is_the_last_line_of_user_code_on_the_way() -> None:
    assert place_of_traceback(failure(reads_bad_json)) == line_of(reads_bad_json)


def test_a_failure_without_user_code_has_its_deepest_line() -> None:
    traceback = failure(json.loads, "{")
    assert place_of_traceback(traceback).startswith(os.path.abspath(json.decoder.__file__))


def test_no_traceback_is_no_place() -> None:
    assert place_of_traceback(None) == ""


def test_a_file_below_the_working_directory_is_shown_relative_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, outside = tmp_path / "work" / "test_a.py", tmp_path / "test_b.py"
    inside.parent.mkdir()
    monkeypatch.chdir(inside.parent)
    source = "def function():\n    return 1 / 0\n"
    assert place_of_traceback(failure(compiled(source, str(inside)))) == "test_a.py:2"
    assert place_of_traceback(failure(compiled(source, str(outside)))) == f"{outside}:2"


def test_the_place_of_a_frame_is_the_nearest_user_code_outwards() -> None:
    seen: list[str] = []

    def calls_through_a_library() -> None:
        json.loads("{}", object_hook=lambda value: seen.append(place_of_frame(_library_frame())))

    def _library_frame() -> FrameType | None:
        frame: FrameType | None = sys._getframe(1)  # the lambda's
        while frame is not None and is_user_code(frame.f_code.co_filename):
            frame = frame.f_back
        return frame  # of json, called by the function above

    calls_through_a_library()
    assert seen == [line_of(calls_through_a_library)]


def test_a_stack_without_user_code_is_no_place() -> None:
    frame = failure(json.loads, "{").tb_frame
    assert frame.f_back is not None  # this file calls json
    assert place_of_frame(None) == ""


def test_a_traceback_is_cut_to_begin_in_user_code() -> None:
    def hook(value: object) -> None:
        raise RuntimeError("in the hook")

    whole = failure(lambda: json.loads("{}", object_hook=hook))
    library = whole.tb_next
    assert library is not None
    assert not is_user_code(library.tb_frame.f_code.co_filename)
    cut = user_traceback(library)
    assert cut is not None
    assert cut.tb_frame.f_code is hook.__code__
    assert user_traceback(whole) is whole


def test_a_traceback_without_user_code_stays_whole() -> None:
    traceback = failure(json.loads, "{")
    assert user_traceback(traceback) is traceback
    assert user_traceback(None) is None


def names_of(traceback: TracebackType | None) -> list[str]:
    """The functions of a traceback's frames."""
    names = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


def raises_in_a_hook(response: object, **_: object) -> None:
    raise RuntimeError("in the hook")


def fetches(**keywords: Any) -> None:
    session = requests.Session()
    session.mount("http://", OwnAdapter())
    session.get("http://127.0.0.1/", **keywords)


def fetches_nothing() -> None:
    requests.Session().get("http://")


def fetches_in_a_context() -> None:
    with suppress_nothing():
        pass


@contextmanager
def suppress_nothing() -> Iterator[None]:
    json.loads("{")
    yield


class OwnAdapter(requests.adapters.HTTPAdapter):
    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url or ""
        response._content, response.raw = b"{", io.BytesIO()
        return response


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (fetches_nothing, ["fetches_nothing"]),
        (lambda: fetches(hooks={"response": raises_in_a_hook}), ["<lambda>", "fetches", "raises_in_a_hook"]),
        (reads_bad_json, ["reads_bad_json", "loads", "decode", "raw_decode"]),
        (fetches_in_a_context, ["fetches_in_a_context", "suppress_nothing", "loads", "decode", "raw_decode"]),
        (lambda: OwnAdapter().send(requests.PreparedRequest()).json(), ["<lambda>"]),
        (lambda: pytest_ipload.base.units.parse_duration("x"), ["<lambda>"]),
    ],
)
def test_frames_of_those_who_carried_a_request_are_left_out(function: Callable[[], Any], expected: list[str]) -> None:
    assert names_of(visible_traceback(failure(function))) == expected


def test_what_comes_before_the_first_line_of_the_user_is_left_out_if_asked_for() -> None:
    whole = failure(lambda: json.loads("{}", object_hook=raises_in_a_hook)).tb_next  # from json on
    assert names_of(visible_traceback(whole, from_user=True)) == ["raises_in_a_hook"]
    assert names_of(visible_traceback(whole))[0] == "loads"


def test_nothing_is_left_where_only_those_were_who_carried_it() -> None:
    inside = failure(fetches_nothing).tb_next
    assert inside is not None
    assert visible_traceback(inside) is None
    assert visible_traceback(None) is None
