"""What the tools are asked to do in the throughput benchmark."""

from __future__ import annotations

from dataclasses import dataclass

THREE = ("pytest-ipload", "requests", "locust-fast")
K9 = ("k9-async", "k9-sync")
BODIES = ("pytest-ipload", "requests", "locust-fast", "sockets")


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
    users: int | None = None
    """Fewer users than are asked for, where each needs much memory."""


SCENARIOS = (
    Scenario(
        "get",
        "GET of 66 bytes on kept connections; the body checks the status. Bare sockets find the end of the head and "
        "the length, and do nothing else.",
        ("pytest-ipload", "requests", "locust-http", "locust-fast", "k9-plan", *K9, "hey", "wrk", "sockets"),
    ),
    Scenario(
        "full",
        "The same GET; the body also reads `ok`, a header, `content`, `text` and `elapsed` "
        "(Locust's FastHttpUser has no `elapsed`).",
        (*THREE, *K9),
        test="full",
    ),
    Scenario(
        "post",
        "POST with `json=` (three fields); the body checks the status.",
        (*THREE, "k9-plan", *K9),
        "/orders",
        test="post",
    ),
    Scenario("cookie", "GET; each reply sets the same cookie again.", THREE, "/cookie", test="cookie"),
    Scenario(
        "cookie-changing", "GET; each reply changes the cookie.", THREE, "/cookie-changing", test="cookie_changing"
    ),
    Scenario(
        "body-1mb",
        "GET of 1 MiB, 8 users; the body of the test checks the length. Bare sockets receive into one buffer.",
        BODIES,
        "/megabyte",
        test="body",
        users=8,
    ),
    Scenario(
        "upload",
        "POST of a file of 10 MB with `files=`, 4 users. Bare sockets send the same bytes, made once.",
        ("pytest-ipload", "requests", "sockets"),
        "/upload",
        test="upload",
        users=4,
    ),
    Scenario(
        "https",
        "GET over TLS on kept connections (Locust's FastHttpUser and k9-load do not verify certificates here).",
        (*THREE, "k9-plan", *K9),
        server="https",
        test="https",
    ),
    Scenario(
        "https-connect",
        "GET over TLS; the server closes each connection after its reply: the price of a new connection. "
        "k9-load resumes sessions, which is cheaper; like Locust's FastHttpUser, it does not verify certificates here.",
        (*THREE, "k9-plan", *K9),
        server="https-connect",
        test="https",
    ),
)
