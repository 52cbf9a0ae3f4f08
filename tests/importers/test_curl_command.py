"""Imported command lines send what curl sends."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.hars import imported
from support.http_server import Hit, RecordingServer

from conftest import require_program
from pytest_ipload import LoadSession
from pytest_ipload.cli.main import PASSED, UNUSABLE, main
from pytest_ipload.importers.curl_command import read_curl
from pytest_ipload.importers.recording import ImportOptions
from pytest_ipload.importers.shell_words import commands


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


COMMANDS = r"""
curl URL/hello
curl 'URL/search?q=a+b&r=%20x' -H 'Accept: application/json' -H "X-It: it's \"ok\" \$5"
curl -X DELETE URL/things/17
curl URL/form -d a=1 -d 'b=x y&c=ü' --data-raw '@not-a-file'
curl URL/form --data-urlencode 'note=a & b' --data-urlencode '=plain' --data-urlencode 'x'
curl URL/get -G -d a=1 --data-urlencode 'q=ü &'
curl URL/json --json '{"a": 1, "b": [true, null, 1.5]}' --json ' '
curl URL/json -H 'content-type: application/json' -d $'{"text": "it\'s\\n\u00e9 \x41\101"}'
curl URL/text -H 'Content-Type: text/plain' --data-binary $'one\ntwo\n'
curl URL/wrong-type -d '{"a": 1}'
curl -u alice:pass-word URL/basic
curl http://bob:p%40ss@HOST/basic
curl -b 'sid=abc; theme=dark' URL/cookies
curl -I URL/head
curl -XPUT URL/put -d@body.json
curl URL/upload -F 'note=hello' -F 'file=@body.json;type=application/json' -F 'other=@body.json;filename=x.txt'
curl URL/upload -T body.json
curl -sSfL --compressed -A 'me/1.0' -e http://referer.test/ -m 5 URL/hello \
  -H 'X-Several-Lines: yes' \
  -o /dev/null
curl -H 'X-Empty;' -H 'Accept:' HOST/without-scheme  # a comment
curl URL/first -d a=1 --next URL/second
curl URL/one URL/two -H 'X-Both: 1'
""".strip()
LINES = COMMANDS.replace("\\\n", "\x00").splitlines()


def meaning(hit: Hit) -> tuple[Any, ...]:
    """What a server makes of a request: without what differs between curl and requests anyway."""
    headers = {key.lower(): value for key, value in hit.headers.items()}
    own = ("user-agent", "accept-encoding", "connection", "host", "content-length", "referer", "expect")
    kept = {key: value for key, value in headers.items() if key not in own and value != "*/*"}
    body: Any = hit.body
    kind = kept.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        kept["content-type"] = "multipart/form-data"
        parts = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + hit.body).get_payload()
        assert isinstance(parts, list)
        body = [(each["Content-Disposition"], each.get_payload(decode=True)) for each in parts]  # type: ignore[union-attr, index]
    elif kind == "application/json":
        body = json.loads(hit.body)
    return (
        hit.method,
        re.sub("%[0-9a-f]{2}", lambda found: found[0].upper(), hit.target.replace("+", "%20")),
        kept,
        body,
    )


@pytest.mark.parametrize("command", LINES, ids=lambda line: re.sub(r"\W+", "-", line)[5:40])
def test_the_import_sends_what_curl_sends(
    command: str,
    server: RecordingServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("body.json").write_text('{"from": "a file"}', encoding="utf-8")
    line = command.replace("\x00", "\\\n").replace("URL", server.url("")).replace("HOST", urlsplit(server.url()).netloc)
    curl = require_program("curl", "apt-get install curl")
    subprocess.run(["bash", "-c", line.replace("curl", f"{curl} -s", 1)], check=True, capture_output=True, timeout=20)
    Path("curl.txt").write_text(line, encoding="utf-8")
    assert main(["import", "curl.txt", "--name", "it"]) == PASSED
    module, said = capsys.readouterr()
    for name, value in {"PASSWORD": "pass-word", "PASSWORD_BOB": "p@ss", "SID": "abc", "THEME": "dark"}.items():
        monkeypatch.setenv(f"IT_{name}", "p@ss" if "bob" in line and name == "PASSWORD" else value)
    expected = list(map(meaning, server.hits))
    server.hits.clear()
    namespace: dict[str, Any] = {}
    exec(compile(module, "test_it.py", "exec"), namespace)
    with LoadSession(base_url=server.url("")) as session:
        namespace["test_it"](session)
    assert list(map(meaning, server.hits)) == expected
    assert not re.search(r"pass-word|p@ss|p%40ss|abc;", module + said)


def steps_of(text: str) -> list[Any]:
    return [exchange.step for exchange in read_curl(text, ImportOptions("it")).exchanges]


def test_what_browsers_copy_for_windows_is_read_as_well() -> None:
    older = [
        'curl "https://shop.test/api?a=1&b=2"', '-H "accept: application/json"',
        '--data-raw "{\\"a\\": \\"x y\\"}"', "--compressed",
    ]  # fmt: skip
    newer = [
        'curl ^"https://shop.test/api?a=1^&b=2^"', '-H ^"accept: application/json^"',
        '--data-raw ^"^{^\\^"a^\\^": ^\\^"x y^\\^"^}^"', "--compressed",
    ]  # fmt: skip
    words = [
        "curl",
        "https://shop.test/api?a=1&b=2",
        "-H",
        "accept: application/json",
        "--data-raw",
        '{"a": "x y"}',
        "--compressed",
    ]
    for lines in (older, newer):
        assert [each.words for each in commands(" ^\r\n  ".join(lines))] == [words]


def test_each_option_that_is_not_followed_is_named() -> None:
    found = read_curl("curl -k --http2 --retry 3 --cert me.pem -c jar.txt https://shop.test/", ImportOptions("it"))
    notes = "\n".join(found.notes)
    for name in ("--insecure", "--http2", "--retry", "--cert", "--cookie-jar"):
        assert f"line 1: {name} is not" in notes


def test_what_looks_like_windows_in_quotes_is_not() -> None:
    assert [each.words for each in commands("""curl 'http://a.test/' -d '{"re": "^"}'""")] == [
        ["curl", "http://a.test/", "-d", '{"re": "^"}']
    ]


def test_without_location_redirects_are_not_followed() -> None:
    _, module = imported("curl -I http://a.test/x\ncurl -IL http://a.test/y")
    assert 'head("/x")' in module
    assert 'head("/y", allow_redirects=True)' in module
    assert [step.follow for step in steps_of("curl http://a.test/\ncurl -L http://a.test/")] == [False, True]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("curl --frobnicate 1 http://a.test/", "line 1: the option --frobnicate is not known"),
        ("curl -fQ x http://a.test/", "line 1: the option -Q is not known"),
        ("\n\ncurl -H", "line 3: the option -H needs a value"),
        ("curl -H 'X: y", "line 1: a quotation mark (') is not closed"),
        ('curl -H "X: $TOKEN" http://a.test', "line 1: the value of $TOKEN is known to your shell only"),
        ("curl http://a.test/$(date)", "line 1: the value of a command in its place is known to your shell only"),
        ("curl -d a=1", "line 1: the command has no URL"),
        ("curl ftp://a.test/x", "line 1: the URL has to be complete and begin with http"),
        ("curl 'http://a.test/{x,y}'", "line 1: curl would make several URLs"),
        ("curl http://[::1/", "line 1: the URL is not valid"),
        ("curl http://a.test:x/", "line 1: the URL is not valid"),
        ("curl http://a.test/ -H nothing", "line 1: a header was given without a colon"),
        ("curl http://a.test/ -m soon", "line 1: --max-time"),
        ("curl http://a.test/ > out.txt", "line 1: > is for a shell"),
        ("curl http://a.test/\nwget http://a.test/", "line 2: 'wget' was given"),
        ("curl http://a.test/ -d @-", "line 1: --data @- reads data from a pipe"),
    ],
)
def test_what_cannot_be_imported_is_named_with_its_line(
    given: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "curl.txt"
    file.write_text(given, encoding="utf-8")
    assert main(["import", str(file)]) == UNUSABLE
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"error: {file}: {said}")
