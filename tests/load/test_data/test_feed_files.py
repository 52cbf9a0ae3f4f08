from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_ipload.base.errors import FeedError
from pytest_ipload.load.test_data.feed_files import read_rows


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
        ("a.csv", b"name;hint\nada;a,b\n", [{"name": "ada", "hint": "a,b"}]),
        ("a.csv", b"name;hint;x,y\nada;a,b;c\n", [{"name": "ada", "hint": "a,b", "x,y": "c"}]),
        ("a.csv", b'name\t"a;b"\nada\t"x\ty"\n', [{"name": "ada", "a;b": "x\ty"}]),
        ("a.csv", b"name,hint\nada;lovelace,a\n", [{"name": "ada;lovelace", "hint": "a"}]),
        ("a.csv", b"\xef\xbb\xbfsep=;\r\nname;a,b\r\nada;1\r\n", [{"name": "ada", "a,b": "1"}]),
        ("a.csv", b'"full\nname";age;"a\n,b"\nada;36;1\n', [{"full\nname": "ada", "age": "36", "a\n,b": "1"}]),
        ("a.csv", b'"sep=|"\nname|age\nada|"3|6"\n', [{"name": "ada", "age": "3|6"}]),
        ("a.csv", b"name,age\r1,2\r\r3,4\r", [{"name": "1", "age": "2"}, {"name": "3", "age": "4"}]),
        ("a.csv", b'name,age\n"a\rb",2\n', [{"name": "a\rb", "age": "2"}]),
        ("a.csv", b"name,age\n1,2\n,\n,\n3,\n", [{"name": "1", "age": "2"}, {"name": "3", "age": ""}]),
        ("a.csv", b'name,age\n"",""\n', [{"name": "", "age": ""}]),
        ("a.csv", b"name, age , sex\nada, 36,  f\n", [{"name": "ada", "age": "36", "sex": "f"}]),
        ("a.csv", b"name , age,sex\nada, 36,f\n", [{"name": "ada", "age": " 36", "sex": "f"}]),
        ("a.csv", b'name, "the, city"\n"a", "Berlin, Mitte"\nb, c\n',
         [{"name": "a", "the, city": "Berlin, Mitte"}, {"name": "b", "the, city": "c"}]),
        ("a.csv", b'name,city\na, "Berlin, Mitte"\n', [{"name": "a", "city": "Berlin, Mitte"}]),
        ("a.csv", b'name,pipe\na,5" pipe\n', [{"name": "a", "pipe": '5" pipe'}]),
        ("a.jsonl", b'{"a": 1}\n\n[1, 2]\n"x"\nnull\n 3.5 ', [{"a": 1}, [1, 2], "x", None, 3.5]),
        ("a.ndjson", b"\xef\xbb\xbf1\r\n2\r\n", [1, 2]),
    ],
)  # fmt: skip
def test_what_is_read(tmp_path: Path, name: str, content: bytes, expected: list[Any]) -> None:
    assert rows_of(tmp_path / name, content) == expected


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"name,age\nada,36\ngrace\n", ", line 3: a row of 1, but the header has 2: name, age"),
        ("a.csv", b"name,age\nada,36,x\n", ", line 2: a row of 3, but the header has 2: name, age"),
        ("a.csv", b'name,age\n"a\nb",1\n\n"c\nd"\n', ", line 5: a row of 1, but the header has 2: name, age"),
        ("a.csv", b'name,age\nada,"36\ngrace,1\n', ", line 2: not CSV: unexpected end of data"),
        (
            "a.csv",
            b'name,age\nada,"3"6\n',
            ", line 2: not CSV: ',' expected after '\"' of field 2, not '6'; write a quote",
        ),
        (
            "a.csv",
            b'name,age\nada,"3" \n',
            ", line 2: not CSV: ',' expected after '\"' of field 2; there is a blank after",
        ),
        (
            "a.csv",
            b'"name" ;age\nada;3\n',
            ", line 1: not CSV: ';' expected after '\"' of field 1; there is a blank after",
        ),
        (
            "a.csv",
            b"name,age,\nada,3,\n",
            ", line 1: field 3 of the header has no name: the line ends with ','; name it",
        ),
        (
            "a.csv",
            b"name,age\nada,3,\n",
            ", line 2: a row of 3, but the header has 2: name, age; the line ends with ','",
        ),
        (
            "a.csv",
            b"name\tage\na\tb\t3\n",
            ", line 2: a row of 3, but the header has 2: name, age; put a field that contains a tab in double quotes",
        ),
        (
            "a.csv",
            b"name;age,sex\n",
            ", line 1: the columns of the header may be separated by ',' or ';'; name it in",
        ),
        ("a.csv", b"name,age\n1,\0\n", ", line 2: not text: it contains a NUL character; save the file as UTF-8"),
        ("a.csv", b"name,,age\n", ", line 1: field 2 of the header has no name"),
        ("a.csv", b"\nname,age,name\n", ", line 2: the header has 'name' twice"),
        ("a.csv", b"name\nada\n\xe9ve\n", ", line 3: not UTF-8 (byte 0xe9); save the file as UTF-8"),
        ("a.csv", "name\nada\n".encode("utf-16"), ", line 1: not UTF-8 (byte 0xff); save the file as UTF-8"),
        ("a.csv", b"", ": it has no rows"),
        ("a.csv", b"name,age\n\n", ": it has no rows"),
        ("a.jsonl", b'1\n\n{"a": }\n', ", line 3: not JSON: Expecting value: line 1 column 7 (char 6)"),
        ("a.jsonl", b"[" * 100_000, ", line 1: not JSON: "),
        ("a.jsonl", b"1\n\xff\n", ", line 2: not UTF-8 (byte 0xff); save the file as UTF-8"),
        ("a.jsonl", b"\n \n", ": it has no rows"),
        ("a.txt", b"name\nada\n", ": unknown file type; supported: .csv, .jsonl, .ndjson"),
        ("csv", b"name\nada\n", ": unknown file type; supported: .csv, .jsonl, .ndjson"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = tmp_path / name
    with pytest.raises(FeedError) as caught:
        rows_of(path, content)
    assert str(caught.value).startswith(f"test data {path}{problem}")


@pytest.mark.parametrize("content", ["{}", '"{}"', '"{}\n{}"'])
def test_a_field_may_be_larger_than_pythons_own_limit(tmp_path: Path, content: str) -> None:
    limit = csv.field_size_limit()
    field = content.format(*["x" * (limit + 1)] * 2)
    (row,) = rows_of(tmp_path / "a.csv", f"id,payload\n1,{field}\n".encode())
    assert row == {"id": "1", "payload": field.strip('"')}
    assert csv.field_size_limit() == limit


def test_a_field_of_many_lines_takes_no_longer_than_it_is_long(tmp_path: Path) -> None:
    lines = "\n".join(["x" * 50] * 100_000)
    (row,) = rows_of(tmp_path / "a.csv", f'a\n"{lines}"\n'.encode())
    assert row == {"a": lines}


FIELDS = st.text('ab ,;"\té', max_size=5).filter(lambda text: not text.lstrip(" ").startswith('"'))


@given(st.lists(st.lists(FIELDS, min_size=3, max_size=3).filter(any), min_size=1), st.sampled_from(",;\t"))
def test_what_python_reads_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], separator: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows([["one", "two", "three"], *rows])
    found = rows_of(tmp_path_factory.getbasetemp() / "alike.csv", text.getvalue().encode())
    assert [list(row.values()) for row in found] == list(csv.reader(text.getvalue().splitlines(), delimiter=separator))[
        1:
    ]


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
    some = [row for row in rows if any(row.values())]
    assume(some)  # a row without anything is one of those that spreadsheets leave at the end
    assert rows_of(path, text.getvalue().encode()) == some
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    assert rows_of(path.with_suffix(".jsonl"), lines.encode()) == rows
