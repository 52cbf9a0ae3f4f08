"""Where in the user's own code something happened, as ``file:line``.

A failure inside ``requests`` is of no use as a place: every failed call has the same one. The place that tells
failures apart is the last line of the user's code on the way there.
"""

from __future__ import annotations

import os
import sysconfig
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType

from pytest_ipload.base.masking import masked

_CARRIERS = frozenset({"asyncio", "contextlib", "pytest_ipload", "requests", "urllib3"})


@lru_cache(maxsize=512)
def is_user_code(filename: str) -> bool:
    """Whether a code object's file is the user's: not this package, an installed one, or the standard library."""
    if filename.startswith("<"):
        return False
    path = os.path.abspath(filename)
    package = str(Path(__file__).parents[1])
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not any(path.startswith(folder + os.sep) for folder in (package, *libraries))


def place_of_traceback(traceback: TracebackType | None) -> str:
    """The deepest line of user code in a traceback, else its deepest line; empty without a traceback."""
    place, deepest = "", ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        deepest = _place(code.co_filename, traceback.tb_lineno)
        if is_user_code(code.co_filename):
            place = deepest
        traceback = traceback.tb_next
    return place or deepest


def in_words(error: BaseException, *, placed: bool = True) -> str:
    """What was raised, masked, and where if it is to be ``placed``. Never raises."""
    try:
        text = masked(str(error))
    except BaseException:  # not only what one expects of str()
        text = "(its text cannot be shown)"
    place = place_of_traceback(error.__traceback__)
    return f"{type(error).__name__}: {text}" + (f" ({place})" if placed and place else "")


def place_of_frame(frame: FrameType | None, *, inside: str | None = None) -> str:
    """The nearest line of user code in a stack of frames, outwards from ``frame``; empty if there is none.

    With ``inside``, only of code that the module of that name has called.
    """
    while frame is not None and (inside is None or frame.f_globals.get("__name__") != inside):
        if is_user_code(frame.f_code.co_filename):
            return _place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return ""


def place_of_code(code: CodeType) -> str:
    """Where a function begins."""
    return _place(code.co_filename, code.co_firstlineno)


def _place(filename: str, line: int) -> str:
    """A path below the current directory is shown relative to it."""
    relative = os.path.relpath(filename)
    return f"{filename if relative.startswith('..') else relative}:{line}"


def user_traceback(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback from its first line of user code on; the whole of it if it has none."""
    first = traceback
    while first is not None and not is_user_code(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    return first or traceback


def visible_traceback(traceback: TracebackType | None, *, from_user: bool = False) -> TracebackType | None:
    """A traceback without the frames of the HTTP stack and the event loop: this package, requests, urllib3, asyncio.

    What these call is left out too, unless it is the user's own code again (a hook, an adapter). With ``from_user``,
    so is all that comes before the first line of user code. None if nothing is left.
    """
    visible: list[TracebackType] = []
    is_hidden = from_user
    while traceback is not None:
        if is_user_code(traceback.tb_frame.f_code.co_filename):
            is_hidden = False
        elif _is_carrier(traceback.tb_frame):
            is_hidden = True
        if not is_hidden:
            visible.append(traceback)
        traceback = traceback.tb_next
    shown = None
    for each in reversed(visible):
        shown = TracebackType(shown, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return shown


def _is_carrier(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name == "http.client" or name.partition(".")[0] in _CARRIERS
