"""A red run of the shop example is understood from the HTML report alone: what failed, why, one request, the line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pages import Element, read_page

from pytest_ipload.report.html.html_file import write

EXAMPLES = Path(__file__).parents[1] / "examples"
ORDER_COUNTED = "            self._last_order += 1\n"
OUT_OF_STOCK = '            if self._last_order % 5 == 0:\n                return Reply({"error": "no stock"}, 500)\n'
EXPLANATION = {
    "kind": "seconds",
    "note": "share of the time in 6 slow seconds against 9 others:",
    "metric": "p95{GET /cart} < 20ms",
    "samples": 961,
    "lines": [
        {
            "file": "examples/demo_target.py",
            "line": 89,
            "function": "load_prices",
            "share": 0.7885,
            "samples": 537,
            "share_before": 0.225,
            "samples_before": 63,
            "growth_low": 0.3794,
            "growth_high": 0.7812,
            "called_by": "examples/demo_target.py:188 Site.cart",
            "source": "time.sleep(0.05)",
            "message": "",
        }
    ],
}


def shown(element: Element) -> Iterator[str]:
    """What a reader sees without unfolding anything, in order."""
    if element.tag in ("script", "style", "title") or (element.tag == "details" and "open" not in element.attributes):
        return
    for child in element.children:
        if isinstance(child, str):
            yield " ".join(child.split())
        else:
            yield from shown(child)


def assert_in_order(text: str, *parts: str) -> None:
    place = 0
    for part in parts:
        found = text.find(part, place)
        assert found >= 0, f"{part!r} is not behind {text[:place][-80:]!r}, which ends after {place} characters"
        place = found + len(part)


@pytest.fixture
def red_result(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The result of the shop example whose shop refuses every fifth order."""
    monkeypatch.delenv("EXAMPLES_TARGET_URL", raising=False)
    shutil.copytree(EXAMPLES, pytester.path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shop = pytester.path / "examples" / "demo_target.py"
    source = shop.read_text(encoding="utf-8")
    assert ORDER_COUNTED in source
    shop.write_text(source.replace(ORDER_COUNTED, ORDER_COUNTED + OUT_OF_STOCK), encoding="utf-8")
    options = ("--ipload-users=5", "--ipload-duration=300ms", "--ipload-ramp-up=0s", "--ipload-json=out.json")
    pytester.runpytest_subprocess("examples/test_checkout.py", *options, timeout=60).assert_outcomes(failed=1)
    report: dict[str, Any] = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
    return report


def text_of(report: dict[str, Any], path: Path) -> str:
    write(path, report)
    return " ".join(filter(None, shown(read_page(path))))


def test_it_says_what_failed_why_with_one_request_and_the_lines(red_result: dict[str, Any], tmp_path: Path) -> None:
    text = text_of(red_result, tmp_path / "errors.html")
    assert_in_order(
        text,
        "Failed",
        "examples/test_checkout.py::test_checkout",
        "error_rate ",
        "limit < 1 %",
        "AssertionError",
        "examples/test_checkout.py:25",
        "assert 500 == 201, after HTTP 500: POST /orders answered 500 Internal Server Error",
        "failed: POST /orders, 500",
        "POST /orders HTTP/1.1",
        "Content-Type: application/json",
        "{}",
        "HTTP/1.1 500 Internal Server Error",
        "Server: demo-target",
        '{"error": "no stock"}',
        '> assert shopper.post("/orders", json={}, name="POST /orders").status_code == 201',
        "Main numbers",
        "Thresholds",
        "Charts",
    )
    # The same load, had it been red because it was slow, with what --ipload-explain has found.
    test = red_result["tests"][0]
    slow = {
        **{name: value for name, value in test.items() if name not in ("traceback", "failures")},
        "reason": "p95{GET /cart} 51.1 ms, limit < 20.0 ms (1 304 requests)",
        "thresholds": [
            {**test["thresholds"][1], "expression": "p95{GET /cart} < 20ms", "passed": False},
            {**test["thresholds"][2], "passed": True},
        ],
        "failures": [],
        "evidence": [each for each in test["evidence"] if each["name"] == "GET /cart"],
        "explain": EXPLANATION,
    }
    assert_in_order(
        text_of({**red_result, "tests": [slow]}, tmp_path / "slow.html"),
        "Failed",
        "p95{GET /cart} 51.1 ms, limit < 20.0 ms",
        "examples/demo_target.py:89",
        "load_prices",
        "time.sleep(0.05)",
        "78.8 %",
        "22.5 %",
        "slow: GET /cart, 200",
        "GET /cart HTTP/1.1",
        "HTTP/1.1 200 OK",
        '"orders": ',
        "Main numbers",
    )
