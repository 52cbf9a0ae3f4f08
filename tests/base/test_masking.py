"""Secrets are masked, and nothing else is."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_ipload.base.masking import masked, masked_values

HELD = [
    # URLs
    ("http://joe:§@shop/", "http://joe:***@shop/"),
    ("at https://joe:§:a%20s@shop:80/a?b=c, twice", "at https://joe:***@shop:80/a?b=c, twice"),
    ("http://§@shop/", "http://***@shop/"),
    ("http://§:@shop/", "http://***:***@shop/"),
    ("http://§:x-oauth-basic@shop/", "http://***:***@shop/"),
    ("http://joe:p@§@shop/", "http://joe:***@shop/"),
    ("'http://joe:§/w@shop/x'", "'http://joe:***@shop/x'"),
    ("//joe:§@shop/", "//joe:***@shop/"),
    ("http://joe:§@[::1]:80/", "http://joe:***@[::1]:80/"),
    ("{'http': 'joe:§@proxy:3128'}", "{'http': 'joe:***@proxy:3128'}"),
    ("'http://joe:§...tail/x'", "'http://joe:***.../x'"),
    # parameters
    ("/a?token=§&x=1", "/a?token=***&x=1"),
    ("/a?x=1&access_token=§", "/a?x=1&access_token=***"),
    ("(/a?x=1&access_token=§)", "(/a?x=1&access_token=***)"),
    ("/a?API_KEY=§'", "/a?API_KEY=***'"),
    ("/a?api-key=§&key=§&auth=§&sig=§%2F#b", "/a?api-key=***&key=***&auth=***&sig=***#b"),
    ("/a?X-Amz-Signature=§&X-Amz-Credential=§/x", "/a?X-Amz-Signature=***&X-Amz-Credential=***"),
    ("/a?password=§;§)§,§", "/a?password=***"),
    ("/a;jsessionid=§?x=1", "/a;jsessionid=***?x=1"),
    ("b'user=joe&password=§'", "b'user=joe&password=***'"),
    ("no login with password=§ today", "no login with password=*** today"),
    # headers
    ("Authorization: Bearer § §\nnext", "Authorization: ***\nnext"),
    (
        "b'GET / HTTP/1.1\\r\\nCookie: a=\"§\"; b=§\\r\\nHost: x\\r\\n'",
        "b'GET / HTTP/1.1\\r\\nCookie: ***\\r\\nHost: x\\r\\n'",
    ),
    (
        "{'Accept': 'a', 'Authorization': 'Basic §', 'Host': b'h'}",
        "{'Accept': 'a', 'Authorization': '***', 'Host': b'h'}",
    ),
    ("{'Set-Cookie': \"sid='§'\", 'X-Api-Key': b'§'}", "{'Set-Cookie': \"***\", 'X-Api-Key': b'***'}"),
    ("('Proxy-Authorization', 'Basic §')", "('Proxy-Authorization', '***')"),
    ("values = (b'Basic §',)", "values = (b'Basic ***',)"),
    ("sent Bearer abcdefghijklmnop1 to it", "sent Bearer *** to it"),
    # values in Python and J§ON
    ("password   = '§\\'§', x = 'y'", "password   = '***', x = 'y'"),
    ("auth = ('joe', '§)§'), b = 1", "auth = (***), b = 1"),
    ("cookies = {'sid': '§'}, c", "cookies = {***}, c"),
    ("{'token': ['§'], 'b': 1}", "{'token': [***], 'b': 1}"),
    ("{'password': 5555, 'b': 1}", "{'password': ***, 'b': 1}"),
    ('{"access_token":"§","n":1}', '{"access_token":"***","n":1}'),
    ('"{\\"password\\": \\"§\\"}"', '"{\\"password\\": \\"***\\"}"'),
    ('"password": os.environ.get("PW", "§")}', '"password": os.environ.get(***)}'),
    ("{'token': Token('§'), 'b': 1}", "{'token': Token(***), 'b': 1}"),
    ("password=os.environ['§'], b=1", "password=os.environ[***], b=1"),
    ("headers = {'Authorization': f'Bearer §{token}'}", "headers = {'Authorization': f'***'}"),
    ("f'Bearer {token}§'", "f'Bearer ***'"),
    ("'Bearer {§}'", "'Bearer ***'"),
    ("'/token': '§'", "'/token': '***'"),
    ("login(password=S3cr§()x)", "login(password=***)"),
    ("'/token': 5555", "'/token': ***"),
    (
        "[Cookie(version=0, name='sid', value='§', port=None)]",
        "[Cookie(version=0, name='sid', value='***', port=None)]",
    ),
    ("<Cookie sid=§ for localhost/>", "<Cookie sid=*** for localhost/>"),
    # keys in brackets, as forms of PHP and Rails have them
    ("/a?user[password]=§&x=1", "/a?user[password]=***&x=1"),
    ("&user%5Bpwd%5D=§&user%5Bname%5D=x", "&user%5Bpwd%5D=***&user%5Bname%5D=x"),
    ("headers[\"X-Api-Key\"] = '§'", "headers[\"X-Api-Key\"] = '***'"),
    # URLs in parameters
    ("/a?to=%2Fb%3Faccess_token%3D§%26page%3D2&x=1", "/a?to=%2Fb%3Faccess_token%3D***%26page%3D2&x=1"),
    ("/a?to=b%2523id_token%253D§", "/a?to=b%2523id_token%253D***"),
    ("/a?to=http%3A%2F%2Fjoe%3A§%40shop%2F", "/a?to=http%3A%2F%2Fjoe%3A***%40shop%2F"),
    # forms of several parts
    (
        'form-data; name="password"\r\n\r\n§\r\nX\r\n--b\r\nform-data; name="n"\r\n\r\nx\r\n--b--',
        'form-data; name="password"\r\n\r\n***\r\n--b\r\nform-data; name="n"\r\n\r\nx\r\n--b--',
    ),
    (
        'b\'form-data; name="api_key"; filename="a"\\r\\nContent-Type: x/y\\r\\n\\r\\n§\\r\\n--b\'',
        'b\'form-data; name="api_key"; filename="a"\\r\\nContent-Type: x/y\\r\\n\\r\\n***\\r\\n--b\'',
    ),
    # XML
    ("<s:Password type='x'>§</s:Password><n>x</n>", "<s:Password type='x'>***</s:Password><n>x</n>"),
    ("<token><![CDATA[§]]></token>", "<token>***</token>"),
    # HTML
    ('<input type="hidden" name="csrf_token" value="§"/>', '<input type="hidden" name="csrf_token" value="***"/>'),
    ("<input value='§' id='x' name='user[password]'>", "<input value='***' id='x' name='user[password]'>"),
    ('<meta name="csrf-token" content="§">', '<meta name="csrf-token" content="***">'),
    # JSON with several levels or lines
    (
        '{"credentials": [{"type": "password", "value": "§"}], "n": 1}',
        '{"credentials": [***], "n": 1}',
    ),
    ('{"token": {\n  "value": "§]"\n},\n"n": 1}', '{"token": {***},\n"n": 1}'),
    ('{"token"\n:\n"§"}', '{"token"\n:\n"***"}'),
    # headers without a prefix
    ("Api-Key: §\nPrivate-Token: §\nnext", "Api-Key: ***\nPrivate-Token: ***\nnext"),
]
KEPT = [
    "", "plain", "/a?monkey=abc", "http://shop:80/a@b", "http://[::1]:80/a@b", "10:30@noon", "joe@shop.example",
    "http://shop:80...", "client.get(url, token=token)", "login(password=None)", "assert token == 'abc'",
    "max_tokens: 3", "def f(token: str) -> None: ...", "p95{GET /a?b=c} < 200ms", "error_rate == 0%", "a: b; c = d",
    "sort(key=len)", "tests/test_token.py::test_secret: AssertionError",
    "Invalid URL '/token': it is relative", "Invalid URL '/oauth/token': no host given",
    "headers[\"Authorization\"] = f\"Bearer {reply.json()['access_token']}\"", "f'Bearer {token}'",
    "{'Authorization': f'Bearer {token}'}", '"password": getpass()', "token=reply.json()['access_token']",
    "GET /password answered 500 Internal Server Error", "assert <Token> == 3", "/a?user[name]=x&user%5Bage%5D=3",
    "http://shop/?token=***: connection refused", "<name>token</name>",
    '<input name="n" value="x"><input name="token">',
    'form-data; name="n"\r\n\r\npassword\r\n--b', "/a?to=%2Fb%3Fpage%3D2%26x%3D3%40y",
    "http%3A%2F%2Fshop%3A80%2Fa%40b", "Idempotency-Key: abc", "id-token is not valid",
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), HELD)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown


@pytest.mark.parametrize("text", KEPT)
def test_other_texts_are_kept(text: str) -> None:
    assert masked(text) == text


@given(
    st.lists(st.tuples(st.sampled_from(HELD), st.sampled_from(KEPT[1:])), max_size=8),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789%", min_size=8, max_size=30),
)
def test_a_secret_goes_and_the_text_round_it_stays(parts: list[tuple[tuple[str, str], str]], secret: str) -> None:
    secret = f"X{secret}"
    text = "\n~\n".join(f"{plain}\n~\n{held.replace('§', secret)}" for (held, _), plain in parts)
    assert secret not in masked(text)
    assert [plain for _, plain in parts] == (masked(text).split("\n~\n")[::2] if parts else [])


@given(st.text(st.sampled_from("ab:/@?&;='\"\\ ()[]{}.,#\n*") | st.characters(), max_size=60))
@example("//a:b//c:d@e")
def test_a_masked_text_stays_what_it_is(text: str) -> None:
    once = masked(text)
    assert masked(once) == once


@given(
    st.lists(
        st.sampled_from(
            [
                "token=",
                "'password': '",
                "//a:",
                "@",
                "'",
                '"',
                "\\",
                "...",
                "(",
                ")",
                "Cookie:",
                " ",
                "\n",
                "x",
                "&",
                ";",
                "***",
            ]
        ),
        max_size=12,
    )
)
def test_so_does_one_with_pieces_of_secrets(pieces: list[str]) -> None:
    once = masked("".join(pieces))
    assert masked(once) == once


@pytest.mark.parametrize(
    "piece",
    [
        "a", "//a:", "//a:b", "//", "?token=", "token",
        "token=a", "'token': '", "'", '"', "\\", "a" * 99 + "=", " ", "(",
        "{", "auth = (", "Cookie: ", "Bearer ", "<Cookie a", "name='", "('a', '", ";a", ",", ")", "token=)", "//a:b...",
        "@", "a:b@", "'a:", "&a=b", ".", "-", "token=a,", "'Bearer ", "<token>", "<a ", "<input ",
        "<input name=token ", "<input value='a' ", '"token": [', "[token]=", "%5D",
        "%3Ftoken%3D", "%2F%2F", "%25", 'form-data; name="token"\n\n', 'form-data; name="a"', "\n", "\\n",
    ],
)  # fmt: skip
def test_the_time_grows_with_the_length_only(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        began = process_time()
        masked(text)
        return process_time() - began

    assert seconds(150_000) < 2.4  # a pattern that reads everything again at each place would take hours


def test_all_texts_in_plain_values_are_masked() -> None:
    values = {"a": ["http://u:p@h/", 1, None, {"b": "x"}], "c": ("/?token=x", 2.5)}
    assert masked_values(values) == {"a": ["http://u:***@h/", 1, None, {"b": "x"}], "c": ["/?token=***", 2.5]}
