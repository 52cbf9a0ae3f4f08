"""What the tools are asked to do in the throughput benchmark."""

from __future__ import annotations

from dataclasses import dataclass

THREE = ("pytest-ipload", "requests", "locust-fast")
TWO = ("pytest-ipload", "requests")


@dataclass(frozen=True)
class Scenario:
    """One kind of iteration, and the tools that are compared in it."""

    name: str
    text: str
    tools: tuple[str, ...]
    path: str = "/small"
    server: str = "http"
    """Which of nginx's servers: ``http``, ``https`` or ``https-connect``."""
    test: str = "get"
    """The body: the name behind ``test_`` in ``load_tests.py``."""


SCENARIOS = (
    Scenario(
        "get",
        "GET of 66 bytes on kept connections; the body checks the status.",
        ("pytest-ipload", "requests", "locust-http", "locust-fast", "hey", "wrk"),
    ),
    Scenario(
        "full",
        "The same GET; the body also reads `ok`, a header, `content`, `text` and `elapsed` "
        "(Locust's FastHttpUser has no `elapsed`).",
        THREE,
        test="full",
    ),
    Scenario("post", "POST with `json=` (three fields); the body checks the status.", THREE, "/orders", test="post"),
    Scenario("cookie", "GET; each reply sets the same cookie again.", TWO, "/cookie", test="cookie"),
    Scenario("cookie-changing", "GET; each reply changes the cookie.", TWO, "/cookie-changing", test="cookie_changing"),
    Scenario(
        "https",
        "GET over TLS on kept connections (Locust's FastHttpUser does not verify certificates, by default).",
        THREE,
        server="https",
        test="https",
    ),
    Scenario(
        "https-connect",
        "GET over TLS; the server closes each connection after its reply: the price of a new connection.",
        THREE,
        server="https-connect",
        test="https",
    ),
)
