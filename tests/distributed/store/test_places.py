"""Places that segments share: objects behind a URL, and files in a folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.object_store import ObjectStore, object_store

from pytest_ipload.distributed.store.digest import check_digest, with_digest
from pytest_ipload.distributed.store.http_place import PAUSES_S, HttpPlace
from pytest_ipload.distributed.store.place import StoreError, check_place, joined
from pytest_ipload.distributed.store.places import open_place


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def store(running: ObjectStore) -> ObjectStore:
    running.objects.clear()
    running.seen.clear()
    running.statuses.clear()
    return running


def place(url: str, naps: list[float] | None = None, environ: dict[str, str] | None = None) -> HttpPlace:
    return HttpPlace(url, itertools.count(1.0).__next__, environ or {}, (naps if naps is not None else []).append)


def test_what_is_written_is_read(store: ObjectStore) -> None:
    there = place(store.url("/run 1?sig=x"))
    assert there.get("a.json").content is None
    assert there.put("a.json", b"{}").content is None
    assert there.get("a.json") == (b"{}", 5.0, 6.0)
    assert store.objects == {"/run%201/a.json": b"{}"}
    assert {target for _, target, _ in store.seen} == {"/run%201/a.json?sig=x"}


def test_credentials_are_sent_and_never_shown(store: ObjectStore) -> None:
    environ = {"PYTEST_IPLOAD_STORE_HEADERS": "x-ms-blob-type=BlockBlob, x-token=a%2Cb"}
    url = store.url("/x?X-Amz-Signature=s3cret", user="joe:pa%20ss")
    there = place(url, environ=environ)
    there.put("", b"content")
    [(_, target, headers)] = store.seen
    assert (headers["authorization"], headers["x-ms-blob-type"]) == ("Basic am9lOnBhIHNz", "BlockBlob")
    assert (headers["x-token"], headers["host"], target) == ("a,b", store.url()[7:], "/x?X-Amz-Signature=s3cret")
    store.statuses[:] = [403]
    with pytest.raises(StoreError) as refused:
        there.get("a")
    assert "HTTP 403: not allowed; credentials belong into the URL or the variable" in str(refused.value)
    assert not any(secret in str(refused.value) + there.shown for secret in ("s3cret", "ss@", "pa%20"))
    with pytest.raises(StoreError, match="a header in it cannot be sent") as refused:
        place(url, environ={"PYTEST_IPLOAD_STORE_HEADERS": "x-token: s3cret"})
    assert "s3cret" not in str(refused.value)


def test_it_is_tried_again_a_few_times(store: ObjectStore) -> None:
    naps: list[float] = []
    there = place(store.url("/x"), naps)
    store.statuses[:] = [503, 429]
    there.put("", b"content")
    assert (store.objects["/x"], naps) == (b"content", list(PAUSES_S[:2]))
    store.statuses[:] = [500] * 100
    with pytest.raises(StoreError, match=r"PUT http://.*/x: HTTP 500$"):
        there.put("", b"")
    assert naps[2:] == list(PAUSES_S)
    assert len(store.statuses) == 100 - len(PAUSES_S) - 1
    store.statuses[:] = [307]
    with pytest.raises(StoreError, match="HTTP 307: redirects are not followed"):
        there.put("", b"")


def test_a_reply_that_ends_early_is_not_taken_for_the_object(store: ObjectStore) -> None:
    naps: list[float] = []
    there = place(store.url("/x"), naps)
    there.put("", b"content" * 1000)
    store.truncates = 1
    assert there.get("").content == b"content" * 1000
    store.truncates = len(PAUSES_S) + 1
    with pytest.raises(StoreError, match=r"GET http://.*/x: .*IncompleteRead"):
        there.get("")
    assert naps == [PAUSES_S[0], *PAUSES_S]


def test_no_server() -> None:
    naps: list[float] = []
    with pytest.raises(StoreError, match="Connection refused") as refused:
        place("http://joe:secret@127.0.0.1:9/x", naps).get("")
    assert (len(naps), "secret" in str(refused.value)) == (len(PAUSES_S), False)


def test_a_folder(tmp_path: Path) -> None:
    there = open_place(str(tmp_path / "run" / "1"), itertools.count(1.0).__next__)
    assert there.get("load-0/go.json").content is None
    there.put("load-0/go.json", b"{}")
    assert there.get("load-0/go.json") == (b"{}", 5.0, 6.0)
    assert [path.name for path in (tmp_path / "run" / "1" / "load-0").iterdir()] == ["go.json"]
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        open_place(str(tmp_path / "file"), float).put("x", b"")


def test_names_are_added_before_the_query() -> None:
    assert joined("https://host/a/?sig=1", "b c.json") == "https://host/a/b%20c.json?sig=1"
    assert joined("/data", "b.json") == str(Path("/data", "b.json"))
    with pytest.raises(ValueError, match="is not a URL"):
        check_place("s3://bucket")
    with pytest.raises(ValueError, match="is not a place"):
        check_place(" ")


def test_a_damaged_object_is_noticed() -> None:
    text = with_digest(b'{\n "schema": 1}\n')
    check_digest(text)
    check_digest(b'{"schema": 1}')
    with pytest.raises(ValueError, match="it is damaged"):
        check_digest(text.replace(b"1", b"2"))
    with pytest.raises(ValueError, match="it is damaged"):
        check_digest(text[:-3])
