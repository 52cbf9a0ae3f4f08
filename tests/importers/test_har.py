"""Which requests of a recording are imported, what of them, and what is said of the rest."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
from typing import Any

import pytest
from support.hars import entry, har, imported

from pytest_ipload.importers.recording import ImportProblem


def requests_of(text: str, **options: Any) -> list[str]:
    """Methods and paths of what is imported."""
    recording, _ = imported(text, **options)
    return [f"{s.method} {s.origin}/{'/'.join(each.literal or '' for each in s.path)}" for s in recording.steps()]


MIXED = har(
    entry("GET", "/", mime="text/html; charset=utf-8", _resourceType="document"),
    entry("GET", "/style.css", mime="text/css"),
    entry("GET", "/logo", mime="image/png"),
    entry("GET", "/app", mime="application/javascript", _resourceType="script"),
    entry("GET", "/font.woff2", headers={"Sec-Fetch-Dest": "font"}),
    entry("OPTIONS", "/api", 204, headers={"Access-Control-Request-Method": "PUT"}),
    entry("PUT", "/api", body="{}", mime="application/json", _resourceType="xhr"),
    entry("GET", "/data.js", body="{}", mime="application/json", _resourceType="fetch"),
    entry("POST", "/collect", 204, sent="{}", _resourceType="ping"),
    entry("GET", "http://ads.test/pixel?user=12"),
    entry("GET", "http://api.shop.test/prices"),
    entry("GET", "ws://shop.test/live", 101),
    entry("GET", "/events", mime="text/event-stream"),
    entry("GET", "data:text/plain,x"),
    entry("GET", "/cancelled", 0),
)


def test_only_what_users_ask_the_server_for_is_imported_and_the_rest_is_said() -> None:
    assert requests_of(MIXED) == ["GET /", "PUT /api", "GET /data.js"]
    recording, _ = imported(MIXED)
    assert recording.base_url == "http://shop.test"
    assert recording.notes == [
        "left out: 1 browser preflight, 1 WebSocket, 1 event stream, 1 data: URL, 1 request without a reply, "
        "4 static files (--static imports them), 1 analytics beacon",
        "left out: 2 requests to other hosts: ads.test (1), api.shop.test (1); to import them: "
        "--host shop.test --host ads.test",
    ]


def test_hosts_and_static_files_can_be_chosen() -> None:
    assert len(requests_of(MIXED, static=True)) == 7
    hosts = ("shop.test", "api.shop.test")
    assert requests_of(MIXED, hosts=hosts)[-1] == "GET http://api.shop.test/prices"
    assert len(requests_of(MIXED, hosts=("*",))) == 5
    assert requests_of(MIXED, hosts=("api.shop.test",)) == ["GET /prices"]
    with pytest.raises(ImportProblem, match=r"no request is left to import: .*other hosts: shop\.test"):
        imported(MIXED, hosts=("elsewhere.test",))


def test_redirects_that_requests_follows_are_not_sent_twice() -> None:
    chain = har(
        entry("POST", "/login", 302, received={"Location": "/account"}),
        entry("GET", "/account", 303, received={"Location": "http://shop.test/home"}),
        entry("GET", "/poll", _resourceType="xhr"),
        entry("GET", "/home"),
        entry("GET", "/home"),
        entry("PUT", "/old", 307, sent="{}", received={"location": "/new"}),
        entry("PUT", "/new", sent="{}"),
    )
    assert requests_of(chain) == ["POST /login", "GET /poll", "GET /home", "PUT /old"]
    assert "allow_redirects" not in imported(chain)[1]


def test_head_requests_follow_redirects_only_if_that_was_recorded() -> None:
    _, module = imported(
        har(entry("HEAD", "/x"), entry("HEAD", "/y", 302, received={"Location": "/z"}), entry("HEAD", "/z"))
    )
    assert 'head("/x")' in module
    assert 'head("/y", allow_redirects=True)' in module


def test_a_redirect_that_leaves_the_recording_is_not_followed() -> None:
    recorded = har(entry("GET", "/"), entry("GET", "/pay", 302, received={"Location": "https://bank.test/pay"}))
    assert 'ipload_session.get("/pay", allow_redirects=False)' in imported(recorded)[1]


def test_only_headers_that_matter_are_sent() -> None:
    headers = {
        "User-Agent": "Mozilla/5.0",
        "Accept": "application/json",
        "accept-language": "de",
        "Sec-Fetch-Mode": "cors",
        ":authority": "shop.test",
        "x-tenant": "acme",
        "Referer": "http://shop.test/",
        "Origin": "http://shop.test",
        "Content-Type": "application/json",
        "Content-Length": "2",
        "Cookie": "a=b",
        "traceparent": "00-1-2-01",
    }
    recorded = har(entry("POST", "/", sent="{}", headers=headers))
    [step] = imported(recorded)[0].steps()
    assert [name for name, _ in step.headers] == ["Accept", "X-Tenant"]
    [step] = imported(recorded, headers=frozenset({"origin"}))[0].steps()
    assert [name for name, _ in step.headers] == ["Accept", "X-Tenant", "Origin"]


def test_forms_in_parts_and_packed_replies_are_read() -> None:
    parts = (
        '--X\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        '--X\r\nContent-Disposition: form-data; name="file"; filename="a \\"b\\".txt"\r\n'
        "Content-Type: text/plain\r\n\r\none\r\ntwo\r\n--X--\r\n"
    )
    packed = base64.b64encode(gzip.compress(b'{"upload": {"id": 4711}}')).decode()
    upload = entry(
        "POST", "/upload", 201, packed, "application/json", sent=parts, sent_as="multipart/form-data; boundary=X"
    )
    upload["response"]["content"]["encoding"] = "base64"
    params = entry("POST", "/more", headers={"Content-Type": "multipart/form-data; boundary=Y"})
    params["request"]["postData"] = {
        "mimeType": "multipart/form-data",
        "params": [
            {"name": "x", "value": "1"},
            {"name": "f", "fileName": "f.bin", "contentType": "a/b", "value": "data"},
        ],
    }
    form = entry("POST", "/form")
    form["request"]["postData"] = {
        "mimeType": "application/x-www-form-urlencoded",
        "params": [{"name": "a", "value": "x y"}, {"name": "a", "value": "ü"}],
    }
    _, module = imported(har(upload, params, form, entry("GET", "/uploads/4711")))
    squeezed = re.sub(r"\s+", " ", module)
    assert '("note", (None, "hello"))' in squeezed
    assert '("file", (\'a "b".txt\', "one\\r\\ntwo", "text/plain"))' in squeezed
    assert '("f", ("f.bin", "data", "a/b"))' in squeezed
    assert 'data=[("a", "x y"), ("a", "ü")]' in squeezed
    assert 'upload_id = response.json()["upload"]["id"]' in squeezed


def test_recorded_errors_are_expected_and_names_are_templates() -> None:
    uuid = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
    _, module = imported(har(entry("GET", f"/items/42/reviews/{uuid}", 404), entry("GET", "/v2/items/blue-shoe-2026")))
    assert 'name="GET /items/{id}/reviews/{id}"' in module
    assert "expect=404" in module
    assert 'ipload_session.get("/v2/items/blue-shoe-2026")' in module


def test_the_first_page_may_lead_to_another_host() -> None:
    recorded = har(
        entry("GET", "/", 301, received={"Location": "https://www.shop.test/"}, _resourceType="document"),
        entry("GET", "https://www.shop.test/", _resourceType="document"),
        entry("GET", "https://www.shop.test/next", _resourceType="document"),
    )
    assert requests_of(recorded) == ["GET /", "GET /next"]
    assert imported(recorded)[0].notes[1].startswith("the recording has no bodies of replies, so only headers")


def test_json_that_is_too_deep_to_be_read_is_sent_as_a_text() -> None:
    deep = "[" * 500 + "]" * 500
    assert f'data="{deep}"' in imported(har(entry("POST", "/", sent=deep)))[1]


def test_think_times_are_comments_or_pauses() -> None:
    start = "2026-01-31T12:00:0"
    recorded = har(
        entry("GET", "/", startedDateTime=f"{start}0.000Z", time=200, _resourceType="document"),
        entry("GET", "/next", startedDateTime=f"{start}3.7004Z", time=10, _resourceType="document"),
        entry("GET", "/first", startedDateTime=f"{start}0.1000000+00:00", time=300, _resourceType="xhr"),
    )
    assert requests_of(recorded) == ["GET /", "GET /first", "GET /next"]
    assert '    # 3.3 s later\n    ipload_session.get("/next")' in imported(recorded)[1]
    paused = imported(recorded, think_times=True)[1]
    assert '    ipload_user.pause(3.3)\n    ipload_session.get("/next")' in paused
    assert "def test_shop(ipload_session: LoadSession, ipload_user: VirtualUser)" in paused
    assert '- think: "3.3s"\n' in imported(recorded, "yaml", think_times=True)[1]


def test_a_session_that_the_recording_began_in_is_said() -> None:
    recorded = har(
        entry(
            "GET", "/", headers={"Cookie": "sid=secret-1234567; lang=de"}, received={"Set-Cookie": "lang=de; Path=/"}
        ),
        entry("GET", "/next", body="x", headers={"Cookie": "sid=secret-1234567; lang=de"}),
    )
    recording, module = imported(recorded)
    assert recording.notes == [
        "cookies that no imported reply sets are left out: sid, lang. If the load needs them, record in a private "
        "window, login included, or send them with --header Cookie"
    ]
    assert "secret" not in module
    kept, module = imported(recorded, headers=frozenset({"cookie"}))
    assert 'headers={"Cookie": f"sid={SHOP_SID}; lang={SHOP_LANG}"}' in module
    assert list(kept.variables) == ["SHOP_SID", "SHOP_LANG"]
    assert kept.notes == []
    assert "ipload_session.cookies.clear()" in module


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"log": {"entries": [}', "line 1, column 22: not valid JSON: Expecting value"),
        ('{"log": []}', "log: an array was given; it has to be an object"),
        ('{"log": {}}', "log.entries: it is missing; it has to be an array"),
        ('{"log": {"entries": []}}', "log.entries: it is empty; record at least one request"),
        ('{"log": {"entries": [5]}}', "log.entries[0]: a whole number was given; it has to be an object"),
        (
            '{"log": {"entries": [{"request": {"method": "GET"}}]}}',
            "log.entries[0].request.url: it is missing; it has to be a text",
        ),
        (
            '{"log": {"entries": [{"request": {"method": "G T", "url": "http://a/"}}]}}',
            "log.entries[0].request.method: it has to be a method of HTTP",
        ),
        (
            '{"log": {"entries": [{"request": {"method": "GET", "url": "http://[/"}}]}}',
            "log.entries[0].request.url: the URL is not valid",
        ),
        (
            '{"log": {"entries": [{"request": {"method": "GET", "url": "http://a/", "headers": {"a": 1}}}]}}',
            "log.entries[0].request.headers: an object was given; it has to be an array",
        ),
        (
            '{"log": {"entries": [{"request": {"method": "GET", "url": "http://a/", "headers": [{"name": 1}]}}]}}',
            "log.entries[0].request.headers[0].name: a whole number was given; it has to be a text",
        ),
        (
            '{"log": {"entries": [{"request": {"method": "GET", "url": "http://a/"}, "response": {"status": "ok"}}]}}',
            "log.entries[0].response.status: a text was given; it has to be a whole number",
        ),
        ('{"log": {"entries": [NaN]}}', "not valid JSON: NaN is not a number"),
        ('{"log": ' + "[" * 100_000, "not usable: its values are nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_recording_is_named_with_its_place(content: str, said: str) -> None:
    with pytest.raises(ImportProblem) as problem:
        imported(content)
    assert str(problem.value).startswith(said)


def test_a_malformed_url_is_named_whatever_is_imported() -> None:
    with pytest.raises(ImportProblem, match=r"log\.entries\[1\]\.request\.url: the URL is not valid"):
        imported(har(entry("GET", "/"), entry("GET", "http://[/")), hosts=("*",))


def test_anything_else_in_its_place_is_named_and_never_an_error_of_ours() -> None:
    """Each value of a recording replaced with each of another type."""
    entries = json.loads(MIXED)["log"]["entries"][6:7]
    entries[0] |= {"startedDateTime": "2026-01-31T12:00:00Z", "time": 1}
    entries[0]["request"]["headers"] = [{"name": "A", "value": "b"}]
    entries[0]["request"]["postData"] = {"mimeType": "a/b", "text": "", "params": [{"name": "a", "value": "b"}]}
    text = json.dumps({"log": {"entries": entries}})
    for found in re.finditer(r'(?<=: )("[^"]*"|\d+|\[|\{)', text):
        for other in ("null", "[]", "{}", "-1", "1e999", '"\\ud800"', "true", '""'):
            end = found.end()
            if found[0] in ("[", "{"):
                end = found.start() + len(json.dumps(json.JSONDecoder().raw_decode(text, found.start())[0]))
            changed = text[: found.start()] + other + text[end:]
            with contextlib.suppress(ImportProblem):
                imported(changed)
