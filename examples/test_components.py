"""Sandboxed components: customers in Python and JavaScript, compiled to WebAssembly by ``components/build.sh``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pytest_ipload import VirtualUser

pytest.importorskip("wasmtime", reason="components need wasmtime: pip install 'pytest-ipload[wasm]'")
BUILT = Path(__file__).with_name("components") / "build"


def guest(language: str) -> Any:
    """The component in a language; skipped if it has not been built."""
    file = BUILT / f"shop-{language}.wasm"
    how = f"examples/components/build.sh {language} builds {file.name}"
    return pytest.param(file, id=language, marks=pytest.mark.skipif(not file.exists(), reason=how))


@pytest.fixture(scope="module", params=[guest("python"), guest("javascript")])
def component(request: pytest.FixtureRequest, ipload_component: Callable[..., Any]) -> Any:
    """Compiled before the load: for the first time, a language's whole run-time library takes half a minute."""
    return ipload_component(request.param, memory="128MiB", rows={"accounts": "accounts.csv"})


@pytest.fixture
def shop(component: Any, ipload_user: VirtualUser, target: str) -> Callable[..., dict[str, Any]]:
    """A customer, who has logged in as a person of accounts.csv."""
    customer, address = component.of(ipload_user), urlsplit(target)
    return lambda item: customer(item=item, host=address.hostname, port=address.port)


@pytest.mark.ipload(users=2, iterations=2)
def test_a_customer_in_another_language(shop: Callable[..., dict[str, Any]]) -> None:
    outputs = shop("book")
    assert outputs["order"] > 0
