"""The command ``import``: files, options, and errors."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.hars import entry, har

from pytest_ipload.cli.main import PASSED, UNUSABLE, main
from pytest_ipload.importers import importer_table
from pytest_ipload.importers.recording import Capture, JsonBody, RawBody, Recording, Scenario, Step, Text
from pytest_ipload.importers.secret_places import place_of_secret

CURL = "curl http://shop.test/orders/17 -d a=1"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.har").write_text(har(entry("GET", "/", body="x"), entry("GET", "/b")), encoding="utf-8")
    return tmp_path


def test_the_load_test_is_written_and_the_rest_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "shop.har", "-o", "test_shop.py"]) == PASSED
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "shop.har: 2 requests -> test_shop.py\n"
    assert (
        (folder / "test_shop.py")
        .read_text(encoding="utf-8")
        .startswith('"""Load test imported from shop.har: 2 requests')
    )


def test_a_file_is_replaced_only_if_that_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "test_shop.py").write_text("mine", encoding="utf-8")
    assert main(["import", "shop.har", "-o", "test_shop.py"]) == UNUSABLE
    assert capsys.readouterr().err == "error: test_shop.py exists; choose another name, or replace it with --force\n"
    assert (folder / "test_shop.py").read_text(encoding="utf-8") == "mine"
    assert main(["import", "shop.har", "-o", "test_shop.py", "--force"]) == PASSED
    assert (folder / "test_shop.py").read_text(encoding="utf-8") != "mine"


@pytest.mark.parametrize(
    ("options", "collected"),
    [
        (["-o", "shop.py"], "test_*.py"),
        (["-o", "test_a.py"], ""),
    ],
)
def test_a_name_that_pytest_does_not_collect_is_said(
    options: list[str], collected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "shop.har", *options]) == PASSED
    assert f"pytest collects {collected}" in capsys.readouterr().err if collected else "collects" not in options


def test_the_suffix_says_what_is_written(folder: Path) -> None:
    assert main(["import", "shop.har", "-o", "shop.ipload.yaml"]) == PASSED
    assert "scenarios:" in (folder / "shop.ipload.yaml").read_text(encoding="utf-8")


def test_a_scenario_file_needs_pyyaml(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("pytest_ipload.importers.yaml_writer.find_spec", lambda name: None)
    assert main(["import", "shop.har", "--as", "yaml"]) == PASSED
    assert "PyYAML is needed: pip install 'pytest-ipload[yaml]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("python", "files to send are read from the folder that pytest is started in"),
        ("yaml", "files to send are read from the folder of the scenario file, else from pytest's rootdir"),
    ],
)
def test_where_files_are_read_from_is_said(
    form: str, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "curl.txt").write_text("curl http://shop.test/ -F file=@photo.png", encoding="utf-8")
    assert main(["import", "curl.txt", "--as", form]) == PASSED
    assert said in capsys.readouterr().err.splitlines()


def test_command_lines_come_from_a_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_ipload", "import", "-", "--name", "my shop"],
        input=CURL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (PASSED, "the standard input: 1 request\n")
    assert "def test_my_shop(ipload_session" in done.stdout
    assert 'name="POST /orders/{id}"' in done.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the format is not known: it is empty"),
        (b"<html>", "the format is not known: it looks like HTML or XML"),
        (
            b'{"requests": 1, "b": 2}',
            "the format is not known: it looks like JSON with the keys requests, b, but has neither log.entries nor",
        ),
        (b"GET / HTTP/1.1", "the format is not known: it looks like text, in which no line begins with 'curl'"),
        (b"PK\x03\x04\xff", "the format is not known: it looks like a ZIP archive: unpack it"),
        (b"\x1f\x8b\x08\x00\xff", "the format is not known: it looks like gzip: unpack it first"),
        (b"curl \xff", "byte 5: it is not valid UTF-8"),
    ],
)
def test_a_format_that_is_not_known_is_described(
    content: bytes, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "it").write_bytes(content)
    assert main(["import", "it"]) == UNUSABLE
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"error: it: {said}")
    if "format" in said:
        assert "Formats: --from har: a HAR recording" in output.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.har"], "No such file or directory: 'missing.har'"),
        (["."], "Is a directory"),
        (["shop.har", "--from", "openapi"], "shop.har: #/openapi: '' was given; versions 3.0 and 3.1 are supported"),
        (["shop.har", "--base-url", "shop.test"], "shop.har: --base-url: it has to be complete and without a query"),
        (["shop.har", "--base-url", "http://joe:pw@shop.test"], "shop.har: --base-url: leave out user and password"),
        (["shop.har", "-o", "shop.yaml"], "-o shop.yaml: the name of a scenario file has to end in .ipload.yaml"),
        (["shop.har", "-o", "a.ipload.yaml", "--as", "python"], "--as python does not fit -o a.ipload.yaml: leave out"),
        (["shop.har", "-o", "test_a.py", "--as", "yaml"], "--as yaml does not fit -o test_a.py: leave out --as"),
        (["shop.har", "-o", "nowhere/test_it.py"], "No such file or directory: 'nowhere/test_it.py'"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", *arguments]) == UNUSABLE
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert said in output.err
    assert output.err.count("\n") == 1


def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pytest_ipload.cli.import_command.MOST_BYTES", 2 << 20)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(Endless())))
    assert main(["import", "-"]) == UNUSABLE
    assert capsys.readouterr().err == "error: -: it is larger than 2 MiB, the maximum size of files to import\n"
    assert importer_table.MOST_BYTES == 256 << 20


class Endless(io.RawIOBase):
    """As /dev/zero is."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        return len(buffer)


def test_a_base_url_replaces_that_of_the_recording(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "shop.har", "--base-url", "http://localhost:8000/v1"]) == PASSED
    assert 'BASE_URL = "http://localhost:8000/v1"\n' in capsys.readouterr().out


def test_each_row_of_the_tables_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for names in (importer_table.IMPORTERS, importer_table.WRITERS):
        assert f"{{{','.join(each.name for each in names)}}}" in shown


TOKEN = "Zk3v9QxTw7LmP2sYb8Rc"


@pytest.mark.parametrize(
    ("second", "place"),
    [
        (f"""-H 'Content-Type: application/json' -d '{{"a": {{"{TOKEN}": 1}}}}'""", "the name of a JSON field"),
        (f"-H 'X-{TOKEN}: 1'", "the name of a header"),
    ],
)
def test_a_secret_that_was_not_recognised_is_said_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str], second: str, place: str
) -> None:
    commands = (
        f"curl -H 'Authorization: Bearer {TOKEN}' http://shop.test/\ncurl -X POST {second} http://shop.test/items/17"
    )
    (folder / "shop.sh").write_text(commands, encoding="utf-8")
    assert main(["import", "shop.sh", "-o", "test_it.py"]) == UNUSABLE
    said = capsys.readouterr().err
    assert f"was not recognised: request 2 (POST /items/{{id}}), {place}; nothing is written" in said
    assert TOKEN not in said
    assert not (folder / "test_it.py").exists()


@pytest.mark.parametrize(
    ("step", "place"),
    [
        (Step("GET", "", (Text.of("a"), Text.of(TOKEN))), "GET /a/{id}), its path"),
        (Step("GET", "", (), headers=(("X-A", Text.of(f"a{TOKEN}")),)), "the header X-A"),
        (Step("GET", "", (), query=(("q", Text.of(TOKEN)),)), "the parameter q"),
        (Step("POST", "", (), body=JsonBody({"a": [{"b": Text.of(TOKEN)}]})), "the JSON field b"),
        (Step("POST", "", (), body=RawBody(Text.of(TOKEN))), "its body"),
        (Step("GET", "", (), captures=(Capture("a", "json", key=TOKEN),)), "a capture"),
    ],
)
def test_the_place_of_a_secret_is_said_without_it(step: Step, place: str) -> None:
    said = place_of_secret(Recording("x", "", [Scenario("a", (Step("GET", "", ()), step))]), [TOKEN])
    assert said.startswith("request 2 (")
    assert place in said
    assert TOKEN not in said
