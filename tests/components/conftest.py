"""Components that run in the test's own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.http_server import RecordingServer
from support.peers import PeerServer
from wasmtime import component as wasm
from wasmtime import wat2wasm

from pytest_ipload.components.component import Component
from pytest_ipload.components.component_engine import ComponentEngine
from pytest_ipload.components.component_store import ComponentStore
from pytest_ipload.components.limits import limits_of
from pytest_ipload.components.linking import LinkedComponent
from pytest_ipload.load.test_data.data_feeds import DataFeeds
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.stats.sample import Sample
from pytest_ipload.transport.session import LoadSession

SOURCE = "127.0.0.77"
"""The address of the users here."""


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


@pytest.fixture
def peer() -> Iterator[PeerServer]:
    with PeerServer() as running:
        yield running


@pytest.fixture
def samples() -> list[Sample]:
    return []


@pytest.fixture
def user(samples: list[Sample], server: RecordingServer) -> Iterator[VirtualUser]:
    """A user in an iteration."""

    def make_session(user: VirtualUser) -> LoadSession:
        return LoadSession(SOURCE, server.url(""), allowed_hosts=[], record=user.record)

    made = VirtualUser(
        3,
        seed=1,
        source_addresses=(SOURCE,),
        record=samples.append,
        make_session=make_session,
        feed_book=DataFeeds(4, 1, ()),
    )
    made.begin_iteration(5, 0)
    yield made
    made.close()


@pytest.fixture(scope="session")
def engines() -> dict[bool, ComponentEngine]:
    return {fuel: ComponentEngine(fuel=fuel) for fuel in (False, True)}


@pytest.fixture
def load(engines: dict[bool, ComponentEngine]) -> Callable[..., Component]:
    """Makes a component of its text, named ``guest.wat``."""

    def make(text: str, rows: Any = None, **limits: Any) -> Component:
        from pathlib import Path

        engine = engines["fuel" in limits]
        component = wasm.Component(engine.engine, bytes(wat2wasm(text)))
        return Component(
            LinkedComponent(engine, component, "guest.wat"), Path("guest.wat"), limits_of(limits), rows or {}
        )

    return make


@pytest.fixture
def play(load: Callable[..., Component], user: VirtualUser) -> Iterator[Callable[..., dict[str, Any]]]:
    """Runs a component of its text once, for the user."""
    loaded: list[Component] = []

    def run(text: str, inputs: dict[str, Any] | None = None, rows: Any = None, **limits: Any) -> dict[str, Any]:
        component = load(text, rows, **limits)
        component.init(user)
        loaded.append(component)
        return component.do(user, **(inputs or {}))

    yield run
    for component in loaded:
        component.release(user)
    assert not [each.name for each in threading.enumerate() if each.name == "ipload-component-clock"]


@pytest.fixture
def store() -> Iterator[ComponentStore]:
    """Without a cache on disk."""
    made = ComponentStore()
    yield made
    made.close()
