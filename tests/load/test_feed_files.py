from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.errors import FeedError
from pytest_ipload.load.feed_files import read_rows


def rows_of(path: Path, content: bytes) -> list[Any]:
    path.write_bytes(content)
    rows = read_rows(path)
    return [rows.make(kept) for kept in rows.kept]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"name,age\nada,36\ngrace,\n", [{"name": "ada", "age": "36"}, {"name": "grace", "age": ""}]),
        ("a.CSV", b"\xef\xbb\xbfname\r\n\xc3\xa9ve\r\n\r\n", [{"name": "éve"}]),
        ("a.csv", b'\nname,text\n\nada,"two\nlines, ""quotes"""\n', [{"name": "ada", "text": 'two\nlines, "quotes"'}]),
        ("a.csv", b"name\nlast line without an end", [{"name": "last line without an end"}]),
        ("a.csv", b'name\n""\n', [{"name": ""}]),
        ("a.jsonl", b'{"a": 1}\n\n[1, 2]\n"x"\nnull\n 3.5 ', [{"a": 1}, [1, 2], "x", None, 3.5]),
        ("a.ndjson", b"\xef\xbb\xbf1\r\n2\r\n", [1, 2]),
    ],
)  # fmt: skip
def test_what_is_read(tmp_path: Path, name: str, content: bytes, expected: list[Any]) -> None:
    assert rows_of(tmp_path / name, content) == expected


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"name,age\nada,36\ngrace\n", ", line 3: a row of 1, where the header has 2: name, age"),
        ("a.csv", b"name,age\nada,36,x\n", ", line 2: a row of 3, where the header has 2: name, age"),
        ("a.csv", b'name,age\n"a\nb",1\n\n"c\nd"\n', ", line 5: a row of 1, where the header has 2: name, age"),
        ("a.csv", b'name,age\nada,"36\ngrace,1\n', ", line 2: not CSV: unexpected end of data"),
        ("a.csv", b'name,age\nada,"3"6\n', ", line 2: not CSV: ',' expected after '\"'"),
        ("a.csv", b"name,,age\n", ", line 1: field 2 of the header has no name"),
        ("a.csv", b"\nname,age,name\n", ", line 2: the header has 'name' twice"),
        ("a.csv", b"name\nada\n\xe9ve\n", ", line 3: not UTF-8 (byte 0xe9); save the file as UTF-8"),
        ("a.csv", "name\nada\n".encode("utf-16"), ", line 1: not UTF-8 (byte 0xff); save the file as UTF-8"),
        ("a.csv", b"", ": there are no rows in it"),
        ("a.csv", b"name,age\n\n", ": there are no rows in it"),
        ("a.jsonl", b'1\n\n{"a": }\n', ", line 3: not JSON: Expecting value: line 1 column 7 (char 6)"),
        ("a.jsonl", b"[" * 100_000, ", line 1: not JSON: "),
        ("a.jsonl", b"1\n\xff\n", ", line 2: not UTF-8 (byte 0xff); save the file as UTF-8"),
        ("a.jsonl", b"\n \n", ": there are no rows in it"),
        ("a.txt", b"name\nada\n", ": no kind of file that is known; known are .csv, .jsonl, .ndjson"),
        ("csv", b"name\nada\n", ": no kind of file that is known; known are .csv, .jsonl, .ndjson"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = tmp_path / name
    with pytest.raises(FeedError) as caught:
        rows_of(path, content)
    assert str(caught.value).startswith(f"test data {path}{problem}")


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv"):
        with pytest.raises(FeedError, match=f"{name}: not a file"):
            read_rows(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.csv"
    path.touch(0o000)
    with pytest.raises(FeedError, match=r"secret.csv cannot be read: Permission denied"):
        read_rows(path)


TEXTS = st.text('ab ,;"\n\ré', max_size=6)


@given(st.lists(st.fixed_dictionaries({"one": TEXTS, "the, other": TEXTS}), min_size=1))
def test_what_other_tools_write_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["one", "the, other"])
    writer.writeheader()
    writer.writerows(rows)
    assert rows_of(path, text.getvalue().encode()) == rows
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    assert rows_of(path.with_suffix(".jsonl"), lines.encode()) == rows
