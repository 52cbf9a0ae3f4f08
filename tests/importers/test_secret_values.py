"""Secrets of a recording are in no text that comes out of it; variables stand in their place."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from support.hars import entry, har, imported

from pytest_ipload.cli.main import PASSED, UNUSABLE, main

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
PLACES = {
    "bearer": entry("GET", "/", headers={"Authorization": "Bearer SECRET"}),
    "an unknown scheme": entry("GET", "/", headers={"Authorization": "SECRET"}),
    "basic": entry("GET", "/", headers={"Authorization": "Basic " + base64.b64encode(b"joe:SECRET").decode()}),
    "an API key": entry("GET", "/", headers={"X-Api-Key": "SECRET"}),
    "a token against forgery that no reply handed out": entry("GET", "/", headers={"X-CSRF-Token": "SECRET"}),
    "a cookie": entry("GET", "/", headers={"Cookie": "a=b; sid=SECRET"}),
    "a parameter": entry("GET", "/?api_key=SECRET&page=2"),
    "a parameter that is a key in URLs only": entry("GET", "/?key=SECRET"),
    "a query that is not made of pairs": entry("GET", "/?SECRET&sig=SECRET&%ff"),
    "a form": entry("POST", "/", sent="user=joe&password=SECRET", sent_as="application/x-www-form-urlencoded"),
    "a form's nested field": entry(
        "POST", "/", sent="user%5Bpassword%5D=SECRET", sent_as="application/x-www-form-urlencoded"
    ),
    "a form's nested key": entry(
        "POST", "/", sent="user%5Bapi_key%5D=SECRET", sent_as="application/x-www-form-urlencoded"
    ),
    "JSON": entry("POST", "/", sent='{"login": {"passwd": "SECRET", "pin": "SECRET"}}'),
    "JSON twice": entry("POST", "/", sent='{"password": "SECRET", "again": "SECRET", "hint": "it is SECRET."}'),
    "a list": entry("POST", "/", sent='{"tokens": ["SECRET"], "client_secret": "SECRET"}'),
    "GraphQL": entry("POST", "/", sent=json.dumps({"query": 'mutation { logIn(password: "SECRET") { id } }'})),
    "XML": entry("POST", "/", sent="<login><password>SECRET</password></login>", sent_as="text/xml"),
    "a text": entry("POST", "/", sent="user=joe\npassword=SECRET", sent_as="text/plain"),
    "a part": entry(
        "POST",
        "/",
        sent='--X\r\nContent-Disposition: form-data; name="password"\r\n\r\nSECRET\r\n--X--\r\n',
        sent_as="multipart/form-data; boundary=X",
    ),
    "a URL in a value": entry("POST", "/", sent='{"callback": "https://joe:SECRET@shop.test/?token=SECRET"}'),
    "a URL with a password": entry("GET", "http://joe:SECRET@shop.test/"),
}
BY_LOOKS = {
    "a path": entry("GET", "/reset/LOOKS/confirm"),
    "an unnamed parameter": entry("GET", "/?c=LOOKS"),
    "an unnamed field": entry("POST", "/", sent='{"c": "LOOKS"}'),
    "an unnamed header": entry("GET", "/", headers={"X-It": "LOOKS"}),
}


@pytest.mark.parametrize("form", ["python", "yaml"])
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_becomes_a_variable(place: str, form: str) -> None:
    secret = "hunter2-Hunter3"
    text = har(PLACES[place]).replace("SECRET", secret)
    text = text.replace(base64.b64encode(b"joe:SECRET").decode(), base64.b64encode(f"joe:{secret}".encode()).decode())
    recording, written = imported(text, form)
    said = written + repr(recording.notes) + repr(recording.variables)
    assert secret not in said
    assert base64.b64encode(f"joe:{secret}".encode()).decode() not in said
    if "cookie" not in place:
        [name] = recording.variables
        assert (f'os.environ.get("{name}", "")' if form == "python" else f"${{env.{name}}}") in written
        assert name.startswith("SHOP_")


@pytest.mark.parametrize("secret", [JWT, "q7Zp2LmX9vRt4KsW8nBc", "0123456789abcdef0123456789abcdef"])
@pytest.mark.parametrize("place", BY_LOOKS)
def test_what_looks_like_a_token_becomes_one_too(place: str, secret: str) -> None:
    recording, written = imported(har(BY_LOOKS[place]).replace("LOOKS", secret))
    assert [piece for piece in secret.split(".") if piece in written] == []
    assert len(recording.variables) == 1


def test_nothing_is_written_if_a_secret_would_be_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "shop.har"
    file.write_text(
        har(entry("POST", "/", sent='{"password": "hunter2-Hunter3", "hunter2-Hunter3": 1}')), encoding="utf-8"
    )
    assert main(["import", str(file)]) == UNUSABLE
    output = capsys.readouterr()
    assert output.out == ""
    assert "a secret of the recording would be in the load test" in output.err
    assert "hunter2" not in output.err


def test_ids_and_words_do_not() -> None:
    recording, written = imported(
        har(
            entry("GET", "/users/3fa85f64-5717-4562-b3fc-2c963f66afa6/orders/17?sort=price-descending&page=2"),
            entry(
                "POST", "/a-long-slug-of-a-blog-article-2026", sent='{"name": "Jane Doe", "tokenize": true, "keys": 3}'
            ),
        )
    )
    assert recording.variables == {}
    assert "3fa85f64" in written


def test_a_number_that_is_a_secret_elsewhere_is_one_too() -> None:
    _, written = imported(
        har(
            entry("POST", "/", sent='{"pin": 20418833, "again": 20418833, "text": "it is 20418833"}'),
            entry("GET", "/users/73102649", headers={"Cookie": "uid=73102649"}),
        )
    )
    assert "20418833" not in written
    assert '"pin": int(SHOP_PIN)' in written
    assert '"again": int(SHOP_PIN)' in written
    assert "/users/73102649" in written


def test_a_token_that_a_reply_handed_out_is_no_variable_and_not_in_a_pattern() -> None:
    body = f'<script>var t = {{"refresh":"q7Zp2LmX9vRt4KsW8nBc","access":"{JWT}"}}</script>'
    recording, written = imported(
        har(entry("GET", "/", body=body), entry("GET", "/me", headers={"Authorization": f"Bearer {JWT}"}))
    )
    assert recording.variables == {}
    assert JWT not in written
    assert "q7Zp2LmX9vRt4KsW8nBc" not in written
    assert 'headers={"Authorization": f"Bearer {token}"}' in written


def test_the_command_shows_names_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "hunter2-Hunter3"
    file = tmp_path / "shop.har"
    file.write_text(har(*PLACES.values()).replace("SECRET", secret), encoding="utf-8")
    assert main(["import", str(file), "-o", str(tmp_path / "test_it.py")]) == PASSED
    output = capsys.readouterr()
    assert secret not in output.err + output.out
    names = re.findall(r"^  (SHOP_\w+): ", output.err, re.MULTILINE)
    written = (tmp_path / "test_it.py").read_text(encoding="utf-8")
    assert names
    for name in names:
        assert f'{name} = os.environ.get("{name}", "")' in written
