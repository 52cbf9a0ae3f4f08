"""A visit to a shop, recorded with a browser, becomes a load test in which each user has its own tokens and ids."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

import pytest
from support.browser import running_browser
from support.har_proxy import HarProxy
from support.shop import PASSWORD, Shop, Visit

from pytest_ipload.cli.main import PASSED, main

BY_HAND = """
    import re

    import pytest

    def hidden(page, name):
        return re.search(rf'name="?{name}"?[^>]*value="([^"]*)"', page.text)[1]

    @pytest.mark.ipload
    def test_by_hand(ipload_session):
        ipload_session.get("/")
        form = {"csrf": hidden(ipload_session.get("/login"), "csrf"), "user": "alice", "password": PASSWORD}
        ipload_session.post("/login", data=form)
        page = ipload_session.get("/products/5")
        csrf = hidden(page, "csrf")
        ipload_session.post("/cart", data={"csrf": csrf, "product_id": "5", "count": "2"})
        headers = {"X-CSRF-Token": csrf}
        basket = ipload_session.get("/api/basket").json()["id"]
        created = ipload_session.post("/api/orders", headers=headers, json={"basket": basket, "note": 'it\\'s "ok"'})
        order = created.json()["order"]["id"]
        for part in ("items", "shipping", "taxes"):
            ipload_session.get(f"/api/orders/{order}/{part}")
        address = {"order_id": order, "street": "Hauptstraße 1"}
        ipload_session.put(f"/api/orders/{order}/address", headers=headers, json=address)
        paid = ipload_session.post(f"/api/orders/{order}/payments", headers=headers, json={"amount": 42.5}).json()
        url = f"/api/payments/{paid['payment']['reference']}/confirm"
        ipload_session.post(url, headers=headers, json={"key": paid["payment"]["key"]})
        ipload_session.get("/api/orders", params={"order": order})
        nonce = hidden(ipload_session.get(f"/orders/{order}"), "nonce")
        ipload_session.post(f"/orders/{order}/cancel", data={"csrf": csrf, "nonce": nonce})
        ipload_session.post("/logout", data={"csrf": csrf})
"""


class Recorded(NamedTuple):
    """A recording, and the shop that it was made of."""

    shop: Shop
    har: str
    visits: list[Visit]


@pytest.fixture(scope="module")
def recorded(chromium: str, chromedriver: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """Log in, choose a product, order it, cancel the order and leave."""
    with Shop() as shop:
        with HarProxy() as proxy:
            flags = (f"--proxy-server={proxy.address}", "--proxy-bypass-list=<-loopback>")
            profile = tmp_path_factory.mktemp("profile")
            with running_browser(chromium, chromedriver, profile, *flags) as browser:
                browser.visit(f"{shop.url}/")
                browser.click("login")
                browser.wait_for("document.getElementById('go')")
                fill = "document.querySelector('[name=user]').value = 'alice';"
                browser.run(f"{fill} document.querySelector('[name=password]').value = arguments[0]", PASSWORD)
                browser.click("go")
                browser.wait_for("document.querySelector('.product')")
                browser.run("document.querySelectorAll('.product')[1].click()")
                for element in ("add", "order", "cancel"):
                    browser.wait_for(f"document.getElementById('{element}')")
                    browser.click(element)
                browser.wait_for("location.search && document.getElementById('leave')")
                browser.click("leave")
                browser.wait_for("document.getElementById('login')")
            har = json.dumps(proxy.har())
        yield Recorded(shop, har, list(shop.visits))


def imported(recorded: Recorded, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What the command says about the import of the recording into a file of the current folder."""
    Path("shop.har").write_text(recorded.har, encoding="utf-8")
    assert main(["import", "shop.har", *options]) == PASSED
    output = capsys.readouterr()
    assert output.out == ""
    return output.err


def normalised(visits: Sequence[Visit]) -> list[tuple[str, ...]]:
    """Requests without what is a user's own; static files are not among them."""
    requests: list[tuple[str, ...]] = []
    for visit in visits:
        if re.search(r"\.(?:css|js|ico)$", visit.path):
            continue
        is_form = visit.content_type.startswith("application/x-www")
        pairs = parse_qsl(visit.body) if is_form else list(json.loads(visit.body).items()) if visit.body else []
        own = ("csrf", "nonce", "basket", "order_id", "key")
        body = json.dumps([(key, "" if key in own else value) for key, value in pairs])
        path = re.sub(r"(?<=orders/)\d+|(?<=payments/)\w+|(?<=order=)\d+", "ID", visit.path)
        requests.append((visit.method, path, body, str(visit.status)))
    return requests


@pytest.mark.parametrize("form", ["python", "yaml"])
@pytest.mark.parametrize("users", [1, 20])
def test_the_import_does_for_each_user_what_the_browser_did(
    recorded: Recorded, users: int, form: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    imported(recorded, capsys, "-o", "test_shop.py" if form == "python" else "shop.ipload.yaml", "--as", form)
    assert len(json.loads(recorded.har)["log"]["entries"]) >= 30
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    recorded.shop.visits.clear()
    result = pytester.runpytest("-W", "error", f"--ipload-users={users}", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)
    visits = list(recorded.shop.visits)
    by_user: dict[str, list[Visit]] = {}
    for visit in visits:
        by_user.setdefault(visit.session, []).append(visit)
    assert {visit.status for visit in visits} == {200, 201, 302, 303}
    # A visitor gets another session by logging in.
    assert len(by_user) == 2 * users
    ids = {found[0] for visit in visits if (found := re.search(r"(?<=/orders/)\d+", visit.path))}
    assert len(ids) == users
    tokens = {token for visit in visits if visit.path == "/cart" for token in re.findall(r"csrf=([^&]+)", visit.body)}
    assert len(tokens) == users
    expected = normalised(recorded.visits)
    assert sorted(normalised(visits)) == sorted(expected * users)


def test_the_import_sends_what_a_test_written_by_hand_sends(
    recorded: Recorded, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imported(recorded, capsys, "-o", "test_shop.py")
    pytester.makepyfile(
        test_by_hand=f"PASSWORD = {PASSWORD!r}\n" + "".join(line[4:] for line in BY_HAND.splitlines(True))
    )
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    seen = []
    for module in ("test_shop.py", "test_by_hand.py"):
        recorded.shop.visits.clear()
        result = pytester.runpytest("-W", "error", f"--ipload-base-url={recorded.shop.url}", module)
        result.assert_outcomes(passed=1)
        seen.append(normalised(recorded.shop.visits))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("form", ["python", "yaml"])
def test_no_secret_of_the_recording_is_written_or_shown(
    recorded: Recorded, form: str, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    said = imported(recorded, capsys, "-o", "out.txt", "--as", form)
    assert "SHOP_PASSWORD: form field password of POST /login" in said
    written = Path("out.txt").read_text(encoding="utf-8")
    assert "SHOP_PASSWORD" in written
    found = set(re.findall(r"sid=(\w+)|csrf=([^&\"\\]+)|nonce=(\w+)|\\\"key\\\":\\\"([\w-]+)", recorded.har))
    values = {value for groups in found for value in groups if value} | {PASSWORD}
    assert len(values) >= 6
    assert [value for value in values if value in written + said] == []
