"""How the hooks of ``newhooks`` are called: plugins' answers are checked, and errors name the plugin.

That of the profile is called in ``items.marker_settings``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

from pytest_ipload.base.code_location import in_words
from pytest_ipload.plugin.session_state import state_of

if TYPE_CHECKING:
    from pluggy import HookCaller

    from pytest_ipload.load.user import Iteration, VirtualUser
    from pytest_ipload.load.user_thread import Scenario
    from pytest_ipload.verdict.decide import Review
    from pytest_ipload.verdict.result import LoadResult

ERRORS = (Exception, pytest.skip.Exception, pytest.fail.Exception)
"""What an implementation may raise by mistake; ``pytest.exit``, an Exception too, and Ctrl-C end the session."""


def whose(hook: HookCaller, error: BaseException | None = None) -> str:
    """The hook and the plugins that implement it, if possible only those in which the error was raised."""
    implementations = hook.get_hookimpls()
    if error is not None:
        passed = set(_codes(error.__traceback__))
        guilty = [each for each in implementations if getattr(each.function, "__code__", None) in passed]
        implementations = guilty or implementations
    return f"hook {hook.name} of {' or '.join(_named(each.plugin_name) for each in implementations)}"


def _named(plugin: str) -> str:
    """A conftest file is named by its path, shown relative to the current directory if it is below."""
    relative = os.path.relpath(plugin) if os.path.isabs(plugin) else plugin
    return plugin if relative.startswith("..") else relative


def _codes(traceback: TracebackType | None) -> Iterator[object]:
    while traceback is not None:
        yield traceback.tb_frame.f_code
        traceback = traceback.tb_next


def raised(hook: HookCaller, error: BaseException) -> str:
    """What an implementation raised, and whose it is."""
    return f"{whose(hook, error)}: {in_words(error)}"


# -- users ------------------------------------------------------------------------------------------------------------


def user_hooks(item: pytest.Item) -> UserHooks | None:
    """The hooks of an item's users; None if there are no implementations."""
    start, stop = item.ihook.pytest_ipload_user_start, item.ihook.pytest_ipload_user_stop
    return UserHooks(item, start, stop) if start.get_hookimpls() or stop.get_hookimpls() else None


class UserHooks:
    """Calls the hooks of a load's users."""

    def __init__(self, item: pytest.Item, start: HookCaller, stop: HookCaller) -> None:
        self._item = item
        self._start = start
        self._stop = stop

    def round(self, scenario: Scenario, user: VirtualUser) -> Scenario:
        """The user's lifecycle with the hooks around it."""
        return _HookedScenario(scenario, user, self)

    def start(self, user: VirtualUser) -> None:
        """The user is set up."""
        self._start(user=user, item=self._item)

    def stop(self, user: VirtualUser) -> None:
        """The user is about to be torn down."""
        self._stop(user=user, item=self._item)


class _HookedScenario:
    """A lifecycle that calls plugins when it begins and ends."""

    __slots__ = ("_hooks", "_is_begun", "_scenario", "_user", "iterate")

    iterate: Callable[[Iteration], None]

    def __init__(self, scenario: Scenario, user: VirtualUser, hooks: UserHooks) -> None:
        self._scenario = scenario
        self._user = user
        self._hooks = hooks
        self._is_begun = False
        self.iterate = scenario.iterate  # directly: iterations have no overhead

    def set_up(self) -> None:
        self._scenario.set_up()
        self._is_begun = True
        self._hooks.start(self._user)

    def tear_down(self) -> None:
        try:
            if self._is_begun:
                self._hooks.stop(self._user)
        finally:
            self._scenario.tear_down()


# -- the result -------------------------------------------------------------------------------------------------------


def review_of(config: pytest.Config) -> Review | None:
    """Plugins' reasons against results; None where results have no verdict: functional tests and segments."""
    settings = state_of(config).settings
    if settings.disabled or settings.segment is not None:
        return None
    hook: HookCaller = config.hook.pytest_ipload_result

    def review(result: LoadResult) -> list[str]:
        try:
            answers = hook(config=config, nodeid=result.nodeid, result=result)
        except pytest.exit.Exception:
            raise
        except ERRORS as error:  # possibly in a thread of the controller, which must go on
            return [raised(hook, error)]
        return [reason for answer in answers for reason in _reasons(hook, answer)]

    return review


def _reasons(hook: HookCaller, answer: object) -> Sequence[str]:
    texts = (answer,) if isinstance(answer, str) else answer
    if isinstance(texts, (list, tuple)) and all(isinstance(text, str) for text in texts):
        return [str(text) for text in texts if text]
    return [f"{whose(hook)}: returned {answer!r:.100}; return None, a string or a list of strings"]
