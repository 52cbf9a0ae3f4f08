"""What docs/first-load-test.md loads: a form that needs a CSRF token to log in, and an API with bearer tokens."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


class AdminSite(BaseHTTPRequestHandler):
    """As Django's admin site answers: a refused login is the form again, with status 200."""

    protocol_version = "HTTP/1.1"
    sessions: dict[str, str]

    def log_message(self, format: str, *args: object) -> None:
        """No lines in the tests' output."""

    def do_GET(self) -> None:
        """Pages for users who are logged in, and items for those with a token."""
        if self.path == "/admin/login/":
            token = secrets.token_hex(32)
            self.reply(200, f'<input type="hidden" name="csrfmiddlewaretoken" value="{token}">', f"csrftoken={token}")
        elif match := re.fullmatch("/items/([0-9]+)", self.path):
            has_token = self.headers.get("Authorization", "").startswith("Bearer token-of-")
            self.reply(200 if has_token else 401, json.dumps({"id": int(match[1])}))
        elif name := self.sessions.get(self.cookie("sessionid")):
            title = "Change user" if self.path.endswith("/change/") else "users"
            self.reply(200, f"{title}: {name}")
        else:
            self.reply(302, "", location="/admin/login/")

    def do_POST(self) -> None:
        """Log in and out; tokens; files."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        if self.path == "/token":
            self.reply(200, json.dumps({"access_token": f"token-of-{json.loads(body)['username']}"}))
        elif self.path == "/files":
            self.reply(201 if 'filename="report.csv"' in body else 400, "{}")
        elif form.get("csrfmiddlewaretoken", "") != self.cookie("csrftoken"):
            self.reply(403, "CSRF verification failed")
        elif self.path == "/admin/logout/":
            self.reply(200 if self.sessions.pop(self.cookie("sessionid"), None) else 403, "logged out")
        elif form.get("password") != "load-test":
            self.reply(200, "the form, with an error")
        else:
            session = secrets.token_hex(16)
            self.sessions[session] = form["username"]
            self.reply(302, "", f"sessionid={session}", location=form.get("next", "/accounts/profile/"))

    def cookie(self, name: str) -> str:
        """The value of a cookie; empty without it."""
        found = re.search(rf"\b{name}=(\w+)", self.headers.get("Cookie", ""))
        return found[1] if found else ""

    def reply(self, status: int, text: str, cookie: str = "", location: str = "") -> None:
        """Send a whole reply."""
        self.send_response(status)
        if cookie:
            self.send_header("Set-Cookie", f"{cookie}; Path=/")
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


@contextmanager
def running_admin_site() -> Iterator[str]:
    """Its URL, while it runs in a thread of this process."""
    handler = type("Handler", (AdminSite,), {"sessions": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
