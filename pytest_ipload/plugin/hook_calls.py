"""How the hooks of ``newhooks`` are called: plugins' answers are checked, and errors name the plugin."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pytest

from pytest_ipload.base.code_location import in_words
from pytest_ipload.base.errors import SettingError
from pytest_ipload.plugin.session_state import state_of
from pytest_ipload.settings.combination import SET_BY_STAGES
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.settings.parsing import Stages, as_seconds, as_span, as_stages
from pytest_ipload.settings.resolution import parse_key
from pytest_ipload.settings.table import SETTINGS

if TYPE_CHECKING:
    from pluggy import HookCaller

    from pytest_ipload.load.user import Iteration, VirtualUser
    from pytest_ipload.load.user_thread import Scenario
    from pytest_ipload.verdict.decide import Review
    from pytest_ipload.verdict.result import LoadResult

_ERRORS = (Exception, pytest.skip.Exception, pytest.fail.Exception)
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


def _raised(hook: HookCaller, error: BaseException) -> str:
    return f"{whose(hook, error)}: {in_words(error)}"


# -- the profile ------------------------------------------------------------------------------------------------------


def changed_by_plugins(
    item: pytest.Item, profile: LoadProfile, with_changes: Callable[[Mapping[str, Any]], LoadProfile]
) -> LoadProfile:
    """The profile after plugins' changes: ``with_changes`` applies them, checked as settings are.

    Raises SettingError naming the plugin.
    """
    hook: HookCaller = item.ihook.pytest_ipload_profile
    if not hook.get_hookimpls():
        return profile
    try:
        answer = hook(config=item.config, item=item, profile=profile)
    except pytest.exit.Exception:
        raise
    except _ERRORS as error:
        raise SettingError(_raised(hook, error)) from None
    if answer is None:
        return profile
    if not isinstance(answer, LoadProfile):
        raise SettingError(
            f"{whose(hook)}: returned {answer!r:.100}; return None, or a profile made by dataclasses.replace()"
        )
    try:
        return with_changes({name: _checked(name, getattr(answer, name)) for name in _changed(profile, answer)})
    except (ValueError, SettingError) as error:
        raise SettingError(f"{whose(hook)}: {error}") from None


def _changed(profile: LoadProfile, answer: LoadProfile) -> list[str]:
    """The settings that a plugin has set: those that differ. If it removes the stages, theirs count as set too."""
    was_set = SET_BY_STAGES if profile.stages is not None and answer.stages is None else frozenset()
    return [
        field.name
        for field in fields(profile)
        if field.name != "origins"
        and (field.name in was_set or getattr(answer, field.name) != getattr(profile, field.name))
    ]


def _checked(name: str, value: Any) -> Any:
    """A setting of a profile, in the form that it has there, or in that of a marker."""
    if value is None and name in _MAY_BE_NONE:
        return None
    if isinstance(value, Stages):
        return as_stages(value.segments)._replace(are_rates=value.are_rates)
    if name in _SPANS and isinstance(value, tuple) and len(value) == 2:
        low, high = map(as_seconds, value)
        if low > high:
            raise ValueError(f"{name}: {value!r} ends before it begins")
        return low, high
    return parse_key(name, value)


_SPANS = frozenset(setting.key for setting in SETTINGS if setting.parse is as_span)
_MAY_BE_NONE = frozenset(key for key, kind in get_type_hints(LoadProfile).items() if type(None) in get_args(kind))


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
        except _ERRORS as error:  # possibly in a thread of the controller, which must go on
            return [_raised(hook, error)]
        return [reason for answer in answers for reason in _reasons(hook, answer)]

    return review


def _reasons(hook: HookCaller, answer: object) -> Sequence[str]:
    texts = (answer,) if isinstance(answer, str) else answer
    if isinstance(texts, (list, tuple)) and all(isinstance(text, str) for text in texts):
        return [str(text) for text in texts if text]
    return [f"{whose(hook)}: returned {answer!r:.100}; return None, a string or a list of strings"]
