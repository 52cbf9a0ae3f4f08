from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest
import requests
from urllib3.exceptions import NewConnectionError

from pytest_ipload import errors
from pytest_ipload.errors import (
    GeneratorLimitError,
    IploadError,
    PoolError,
    SettingError,
    SourceAddressError,
    SourceFamilyMismatch,
    SourceNotLocal,
    SourceNotUsable,
    SourcePortsExhausted,
    TargetNotAllowed,
)

SOURCE_ERRORS = (SourceAddressError, SourceNotLocal, SourcePortsExhausted, SourceFamilyMismatch, SourceNotUsable)
ALL = (SettingError, PoolError, TargetNotAllowed, GeneratorLimitError, *SOURCE_ERRORS)


def test_all_errors_are_in_one_tree() -> None:
    defined = {cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__}
    assert defined == {IploadError, *ALL}
    assert all(issubclass(cls, IploadError) for cls in defined)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert sorted(drawn) == sorted(cls.__name__ for cls in ALL)


@pytest.mark.parametrize(
    ("cls", "bases"),
    [
        (SettingError, (ValueError,)),
        (PoolError, (ValueError,)),
        (SourceAddressError, (NewConnectionError,)),
        *((cls, (SourceAddressError, NewConnectionError)) for cls in SOURCE_ERRORS[1:]),
    ],
)
def test_errors_can_be_caught_as_what_they_are_elsewhere(cls: type[Exception], bases: tuple[type, ...]) -> None:
    assert issubclass(cls, bases)


def test_every_source_fault_has_a_name_of_its_own() -> None:
    assert len({cls.fault for cls in SOURCE_ERRORS}) == len(SOURCE_ERRORS)


@pytest.mark.parametrize("cls", SOURCE_ERRORS)
@pytest.mark.parametrize("duplicate", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_a_source_error_survives_pickling(cls: type[SourceAddressError], duplicate: object) -> None:
    error = cls(object, "no local port is left for 127.0.0.1")
    assert callable(duplicate)
    twin = duplicate(error)
    assert (type(twin), str(twin), twin.fault) == (cls, str(error), cls.fault)
    assert "no local port is left for 127.0.0.1" in str(twin)


def test_requests_wraps_a_source_error_as_its_own_connection_error() -> None:
    class Adapter(requests.adapters.HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *args: object, **kwargs: object) -> requests.Response:
            pool = self.poolmanager.connection_from_url("http://127.0.0.1:9")
            pool.ConnectionCls = Refusing  # type: ignore[assignment]  # a connection that only fails
            return super().send(request)

    class Refusing(pytest.importorskip("urllib3").connection.HTTPConnection):  # type: ignore[misc]
        def connect(self) -> None:
            raise SourceNotLocal(self, "10.9.9.9 is not an address of this host")

    with requests.Session() as session:
        session.mount("http://", Adapter())
        with pytest.raises(requests.ConnectionError, match=r"10\.9\.9\.9 is not an address") as caught:
            session.get("http://127.0.0.1:9/")
    assert isinstance(caught.value.args[0].reason, SourceNotLocal)
