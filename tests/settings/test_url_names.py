"""Names of requests by the template of their URL."""

from __future__ import annotations

import pickle

import pytest

from pytest_ipload.settings.url_names import UrlNames

TEMPLATES = [
    "/items/new",
    "/items/{id}",
    "/items/{id}/reviews/{number}.json",
    "/files/{rest:path}",
    "https://api.test:8443/items/{key}",
    "/caf\u00e9/{table}",
    "/a+b(c)/{d}",
]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/items/17", "/items/{id}"),
        ("/items/17;v=2", "/items/{id}"),
        ("/items/new", "/items/new"),
        ("/items/17/reviews/3.json", "/items/{id}/reviews/{number}.json"),
        ("/items/17/reviews/3.xml", None),
        ("/items/", None),
        ("/items/17/", None),
        ("/shop/items/17", None),
        ("/files/a/b%20c/d.txt", "/files/{rest:path}"),
        ("/files/", None),
        ("/caf%C3%A9/7", "/caf\u00e9/{table}"),
        ("/a+b(c)/1", "/a+b(c)/{d}"),
        ("/", None),
    ],
)
def test_the_first_template_that_fits_a_path_names_it(path: str, name: str | None) -> None:
    assert UrlNames(TEMPLATES).name("GET", "http://shop.test", path) == (name and f"GET {name}")


def test_a_template_with_a_host_is_for_that_host() -> None:
    names = UrlNames(["https://API.test:8443/items/{key}", "/items/{id}"])
    assert names.name("PUT", "https://api.test:8443", "/items/1") == "PUT https://API.test:8443/items/{key}"
    assert names.name("PUT", "https://api.test", "/items/1") == "PUT /items/{id}"


def test_what_is_remembered_has_a_bound() -> None:
    names = UrlNames(["/items/{id}"])
    for number in range(10_000):
        assert names.name("GET", "http://shop.test", f"/items/{number}") == "GET /items/{id}"
    assert names.label.cache_info().currsize < 5_000  # type: ignore[attr-defined]  # of functools
    copied = pickle.loads(pickle.dumps(names))
    assert copied.name("GET", "", "/items/1") == "GET /items/{id}"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("items/{id}", "it begins neither with '/' nor with a scheme and a host; write a path, as in /items/{id}"),
        ("GET /items/{id}", "it begins neither with"),
        ("/items/{id", "a '{' has no '}'"),
        ("/items/id}", "a '}' has no '{'"),
        ("/items/{}", "'{}' is not a placeholder"),
        ("/items/{an id}", "'{an id}' is not a placeholder"),
        ("/items/{id:int}", "'{id:int}': ':int' is unknown; a placeholder is {id} or {id:path}"),
        ("/items/{id}/{id}", "{id} is there twice; give each placeholder a name of its own"),
        ("/items?page={page}", "a query plays no part in names; leave it out"),
        ("/items#{id}", "a fragment is never sent; leave it out"),
        ("/items/*", "there are no wildcards; a placeholder stands for a segment"),
        ("/items/{id} /carts/{cart}", "there is a blank in it; write a path, as in /items/{id}, one template per line"),
    ],
)
def test_what_is_wrong_with_a_template(template: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^line '") as error:
        UrlNames(["/ok", template])
    assert f"line {template!r}: {says}" in str(error.value)


def test_a_template_is_there_once() -> None:
    with pytest.raises(ValueError, match=r"line '/a/\{b\}': it is there twice"):
        UrlNames(["/a/{b}", "/c", "/a/{b}"])
