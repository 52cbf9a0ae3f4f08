"""A headless Chromium, for pages that are files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)


class Browser:
    """One session of a browser."""

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver

    def open(self, page: Path) -> None:
        """Open a file, with nothing left of the page before."""
        self.emulate("", "light")
        self._driver.get("about:blank")
        self.messages()  # reading them empties the console
        self._driver.get(page.as_uri())

    def visit(self, url: str) -> None:
        """Open the page of a server."""
        self._driver.get(url)

    def click(self, element: str) -> None:
        """Click on the element with an id."""
        self.run("document.getElementById(arguments[0]).click()", element)

    def run(self, script: str, *arguments: Any) -> Any:
        """What JavaScript returns."""
        return self._driver.execute_script(script, *arguments)

    def wait_for(self, condition: str) -> None:
        """Wait until an expression in JavaScript holds, ten seconds at most."""
        WebDriverWait(self._driver, 10, 0.02).until(lambda _: self.run(f"return Boolean({condition})"), condition)

    def emulate(self, medium: str, scheme: str) -> None:
        """The medium (``print``, or an empty text for the screen) and the preferred colour scheme."""
        self.command(
            "Emulation.setEmulatedMedia",
            media=medium,
            features=[{"name": "prefers-color-scheme", "value": scheme}, {"name": "hover", "value": "hover"}],
        )

    def press(self, key: str) -> None:
        """Press a key."""
        self._driver.switch_to.active_element.send_keys(key)

    def command(self, name: str, **arguments: Any) -> Any:
        """A command of the browser's own protocol."""
        return self._driver.execute_cdp_cmd(name, arguments)

    def messages(self) -> list[str]:
        """What the console said: errors of scripts, and what the page's policy refused."""
        entries: list[dict[str, str]] = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries]


@contextmanager
def running_browser(chromium: str, chromedriver: str, profile: Path, *more_flags: str) -> Iterator[Browser]:
    """Start a browser with a fresh profile in a folder, and end it."""
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, *more_flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(chromedriver))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
