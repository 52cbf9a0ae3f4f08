from __future__ import annotations

import builtins
import copy
import inspect
import pickle
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

from pytest_ipload.base import errors
from pytest_ipload.base.errors import (
    ComponentError,
    ComponentFailed,
    ComponentFuelExceeded,
    ComponentLimitExceeded,
    ComponentMemoryExceeded,
    ComponentRefused,
    ComponentReplyExceeded,
    ComponentRequestsExceeded,
    ComponentSocketsExceeded,
    ComponentTimeExceeded,
    ComponentTrapped,
    FeedError,
    FeedExhausted,
    GeneratorLimitError,
    IploadError,
    LateSkip,
    PoolError,
    PoolExhausted,
    RendezvousEnded,
    RendezvousTimeout,
    ReplyTooLarge,
    ScenarioFailed,
    ScenarioFileError,
    SettingError,
    SetUpTimeout,
    TargetLost,
    TargetNotAllowed,
    TearDownTimeout,
    is_configuration_error,
)
from pytest_ipload.transport import generator_errors
from pytest_ipload.transport.generator_errors import (
    LoadEnded,
    OpenFilesExhausted,
    SourceAddressError,
    SourceFamilyMismatch,
    SourceNotLocal,
    SourceNotUsable,
    SourcePortsExhausted,
)

SOURCE_ERRORS = (SourceAddressError, SourceNotLocal, SourcePortsExhausted, SourceFamilyMismatch, SourceNotUsable)
OWN_SIDE_ERRORS = (*SOURCE_ERRORS, OpenFilesExhausted)
ALL = {
    SettingError,
    PoolError,
    PoolExhausted,
    FeedError,
    FeedExhausted,
    RendezvousTimeout,
    RendezvousEnded,
    TargetNotAllowed,
    LateSkip,
    ScenarioFailed,
    ScenarioFileError,
    SetUpTimeout,
    TearDownTimeout,
    ReplyTooLarge,
    ComponentError,
    ComponentFailed,
    ComponentTrapped,
    ComponentRefused,
    ComponentLimitExceeded,
    ComponentMemoryExceeded,
    ComponentTimeExceeded,
    ComponentFuelExceeded,
    ComponentRequestsExceeded,
    ComponentReplyExceeded,
    ComponentSocketsExceeded,
    TargetLost,
    GeneratorLimitError,
    LoadEnded,
    *OWN_SIDE_ERRORS,
}


def test_all_errors_are_in_one_tree() -> None:
    defined = {
        cls
        for module in (errors, generator_errors)
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if not name.startswith("_") and cls.__module__ == module.__name__
    }
    assert defined == {IploadError, *ALL}
    assert all(issubclass(cls, IploadError) for cls in ALL)


def test_the_trees_in_the_docstrings_are_the_tree() -> None:
    texts = f"{errors.__doc__}{generator_errors.__doc__}"
    drawn = set(re.findall(r"[├└]── ([A-Z]\w+)", texts))
    assert drawn == {cls.__name__ for cls in ALL}
    indented = re.findall(r"^        [├└]── (\w+)", generator_errors.__doc__ or "", re.MULTILINE)
    assert sorted(indented) == sorted(cls.__name__ for cls in SOURCE_ERRORS[1:])


@pytest.mark.parametrize(
    ("cls", "bases"),
    [
        (SettingError, (ValueError,)),
        (PoolError, (ValueError,)),
        (FeedExhausted, (FeedError, ValueError)),
        (RendezvousTimeout, (TimeoutError,)),
        (ScenarioFileError, (ValueError,)),
        *((cls, (NewConnectionError,)) for cls in OWN_SIDE_ERRORS),
        *((cls, (SourceAddressError,)) for cls in SOURCE_ERRORS[1:]),
    ],
)
def test_errors_can_be_caught_as_what_they_are_elsewhere(cls: type[Exception], bases: tuple[type, ...]) -> None:
    assert issubclass(cls, bases)


def test_running_out_of_files_is_no_fault_of_the_source_address() -> None:
    assert not issubclass(OpenFilesExhausted, SourceAddressError)


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({cls.fault for cls in OWN_SIDE_ERRORS}) == len(OWN_SIDE_ERRORS)


@pytest.mark.parametrize("cls", OWN_SIDE_ERRORS)
@pytest.mark.parametrize("duplicate", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_a_copy_keeps_type_and_text(cls: Any, duplicate: Callable[[Any], Any]) -> None:
    connection = HTTPConnection("127.0.0.1", 9)
    error = cls(connection, "no local port is left")
    twin = duplicate(duplicate(error))
    assert error.conn is connection
    assert (type(twin), str(twin), twin.fault, twin.message) == (cls, str(error), cls.fault, "no local port is left")
    assert str(error).endswith(": no local port is left")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups of exceptions")
def test_a_group_with_a_configuration_error_is_one() -> None:
    group = vars(builtins)["ExceptionGroup"]
    refused = TargetNotAllowed("'x' is not allowed")
    assert is_configuration_error(group("of a task group", [ValueError(), group("inner", [refused])]))
    assert not is_configuration_error(group("of a task group", [ValueError()]))
    refused.at_run_time = True
    assert not is_configuration_error(group("of a task group", [refused]))
