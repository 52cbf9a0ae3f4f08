"""The HTML report in a real browser. One browser serves all tests."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys
from support.browser import Browser, running_browser
from support.pages import HOSTILE, full_result, page_report, with_optional

from pytest_ipload.report.html.html_file import write

DRAWN = "document.querySelectorAll('.chart > .plot-container').length"
LINES_OF_P95 = "document.querySelector('.chart').querySelectorAll('.trace')[1].querySelectorAll('path.js-line')"


@pytest.fixture(scope="session")
def browser(chromium: str, chromedriver: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(chromium, chromedriver, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="session")
def usual_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two tests: one file, as a browser keeps what it has compiled of it."""
    path = tmp_path_factory.mktemp("page") / "out.html"
    write(path, page_report(with_optional(full_result()), full_result()))
    return path


@pytest.fixture
def page(browser: Browser, usual_page: Path) -> Iterator[Browser]:
    """The page, opened, with the charts of its first test drawn. Nothing may be wrong at the end."""
    browser.open(usual_page)
    browser.run("document.querySelector('.charts').scrollIntoView()")
    browser.wait_for(f"{DRAWN} >= 5")
    yield browser
    assert browser.messages() == []


def colour_of_p95(browser: Browser) -> str:
    colour: str = browser.run(f"return {LINES_OF_P95}[0].style.stroke")
    return colour


def test_charts_are_drawn_when_they_come_into_sight(page: Browser) -> None:
    assert page.run(f"return {DRAWN}") < 10
    page.run("document.querySelectorAll('.charts')[1].scrollIntoView()")
    page.wait_for(f"{DRAWN} === 10")
    assert page.run("return document.querySelector('.chart').textContent.includes('need JavaScript')") is False
    lines = "[...document.querySelector('.chart').querySelectorAll('.legendtext')].map(each => each.textContent)"
    assert page.run(f"return {lines}") == ["p50", "p95", "p99", "max"]


def test_seconds_without_a_value_are_gaps(page: Browser) -> None:
    assert page.run(f"return {LINES_OF_P95}.length") == 2


def test_each_of_the_loads_that_ran_together_is_drawn_at_its_time(browser: Browser, tmp_path: Path) -> None:
    seconds = [{"t_s": t_s, "users": 1, "requests": 20, "failed_requests": 0} for t_s in range(3)]
    shared = {**full_result(), "together": "shop", "timeline": seconds}
    starts = {"one": "2026-01-01T10:00:00+00:00", "two": "2026-01-01T10:00:01+00:00"}
    results = [{**shared, "nodeid": f"test_a.py::test_{name}", "started_at": at} for name, at in starts.items()]
    write(tmp_path / "out.html", page_report(*results))
    browser.open(tmp_path / "out.html")
    browser.run("document.querySelector('.charts').scrollIntoView()")
    chart = "[...document.querySelectorAll('.chart')].find(each => each._fullData?.[1]?.name === 'test_two')"
    browser.wait_for(chart)
    assert browser.run(f"return {chart}.calcdata.map(line => line.map(point => point.x))") == [
        [500, 1500, 2500],
        [1500, 2500, 3500],
    ]


def test_hostile_texts_do_nothing(browser: Browser, tmp_path: Path) -> None:
    results = [with_optional(full_result(text, text, text), text) for text in HOSTILE]
    write(tmp_path / "out.html", page_report(*results))
    browser.open(tmp_path / "out.html")
    for number in range(len(HOSTILE)):
        browser.run(f"document.querySelectorAll('.charts')[{number}].scrollIntoView()")
        browser.wait_for(f"document.querySelectorAll('.charts')[{number}].querySelectorAll('.main-svg').length >= 10")
    browser.run("document.querySelectorAll('bdi').forEach(each => each.click())")
    assert browser.run("return typeof window.executed") == "undefined"
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.run("return document.querySelectorAll('section').length") == len(HOSTILE)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth") is True
    assert browser.messages() == []


def test_nothing_is_fetched_and_nothing_can_be(page: Browser) -> None:
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    page.run("fetch('http://127.0.0.1:9/').catch(error => { window.refused = String(error) })")
    page.wait_for("window.refused")
    page.run("const tag = document.createElement('script'); tag.text = 'window.ran = 1'; document.body.append(tag)")
    assert page.run("return typeof window.ran") == "undefined"
    refused = page.messages()
    assert len(refused) >= 2
    assert all("Content Security Policy" in message for message in refused)


def test_dark_mode_is_dark_in_charts_too(page: Browser) -> None:
    light = colour_of_p95(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    light_ground = page.run(f"return {ground}")
    page.emulate("", "dark")
    page.wait_for(f"{LINES_OF_P95}[0].style.stroke !== {light!r}")
    assert page.run(f"return {ground}") != light_ground


def test_on_paper_all_charts_are_drawn_in_light_colours(page: Browser) -> None:
    light = colour_of_p95(page)
    page.emulate("", "dark")
    page.wait_for(f"{LINES_OF_P95}[0].style.stroke !== {light!r}")
    page.run(
        "addEventListener('beforeprint', () => {"
        f"  window.printed = {{ drawn: {DRAWN}, colour: {LINES_OF_P95}[0].style.stroke,"
        "     open: document.querySelectorAll('details.paper:not([open])').length };"
        "})"
    )
    pdf = page.command("Page.printToPDF", printBackground=False)["data"]
    assert page.run("return window.printed") == {"drawn": 10, "colour": light, "open": 0}
    assert base64.b64decode(pdf).startswith(b"%PDF")
    assert page.run("return document.documentElement.className") == ""
    page.wait_for(f"{LINES_OF_P95}[0].style.stroke !== {light!r}")
    assert page.run("return document.querySelectorAll('details.paper:not([open])').length") > 0


def test_what_is_printed_has_a_white_ground_and_no_boxes_that_scroll(page: Browser) -> None:
    page.emulate("print", "dark")
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("return getComputedStyle(document.querySelector('.scroll')).overflow") == "visible"


def test_all_charts_of_a_test_show_the_time_that_one_is_zoomed_to(page: Browser) -> None:
    page.run("Plotly.relayout(document.querySelectorAll('.chart')[0], {'xaxis.range': [2000, 5000]})")
    ranges = "[...document.querySelectorAll('.chart')].slice(0, 5).map(each => String(each.layout.xaxis.range))"
    page.wait_for(f"new Set({ranges}.slice(0, 4)).size === 1")
    shown = page.run(f"return {ranges}")
    assert shown[0] == "2000,5000"
    assert shown[4].startswith("0,")  # the distribution has no time


def test_times_can_be_logarithmic(page: Browser) -> None:
    page.run("document.getElementById('logarithmic').click()")
    types = "[...document.querySelectorAll('.chart')].slice(0, 5).map(each => each.layout.yaxis.type)"
    assert page.run(f"return {types}") == ["log", "log", "linear", "linear", "log"]
    assert page.run("return document.getElementById('logarithmic').getAttribute('aria-pressed')") == "true"


def test_charts_are_as_wide_as_the_page(page: Browser) -> None:
    page.command("Emulation.setDeviceMetricsOverride", width=500, height=900, deviceScaleFactor=1, mobile=False)
    box = "document.querySelector('.chart')"
    page.wait_for(f"{box}.querySelector('.main-svg').clientWidth === {box}.clientWidth && {box}.clientWidth < 500")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth") is True
    page.command("Emulation.clearDeviceMetricsOverride")


def test_a_narrow_page_shows_what_failed_without_scrolling_sideways(page: Browser) -> None:
    fits = "[...document.querySelectorAll('.scroll:has(> .stacked)')].map(each => each.scrollWidth <= each.clientWidth)"
    page.command("Emulation.setDeviceMetricsOverride", width=400, height=900, deviceScaleFactor=1, mobile=False)
    page.wait_for("innerWidth === 400")
    assert set(page.run(f"return {fits}")) == {True}
    label = "getComputedStyle(document.querySelector('.stacked td[data-label=limit]'), '::before').content"
    assert "limit" in page.run(f"return {label}")
    page.command("Emulation.clearDeviceMetricsOverride")


def test_the_keyboard_reaches_what_it_needs_and_no_more(page: Browser) -> None:
    page.press(Keys.TAB)
    assert page.run("return document.activeElement.className") == "skip"
    page.press(Keys.ENTER)
    assert page.run("return document.activeElement.id") == "results"
    assert page.run("return [...document.querySelectorAll('.chart *')].filter(each => each.tabIndex >= 0).length") == 0
    assert page.run("return document.querySelectorAll('.scroll:not([tabindex])').length") == 0
