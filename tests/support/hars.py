"""Recordings made by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_ipload.importers.importer_table import WRITERS, importer_of
from pytest_ipload.importers.recording import ImportOptions, Recording

SHOP = "http://shop.test"


def entry(
    method: str, url: str, status: int = 200, body: str = "", mime: str = "text/html", *,
    sent: str = "", sent_as: str = "application/json", headers: Mapping[str, str] | None = None,
    received: Mapping[str, str] | None = None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """A request with its reply."""
    request: dict[str, Any] = {
        "method": method,
        "url": SHOP + url if url.startswith("/") else url,
        "headers": [{"name": key, "value": value} for key, value in (headers or {}).items()],
    }
    if sent:
        request["postData"] = {"mimeType": sent_as, "text": sent}
    response = {
        "status": status,
        "headers": [{"name": key, "value": value} for key, value in (received or {}).items()],
        "content": {"mimeType": mime, "text": body},
    }
    return {"request": request, "response": response, **more}


def har(*entries: dict[str, Any]) -> str:
    """The recording."""
    return json.dumps({"log": {"version": "1.2", "entries": entries}})


def imported(text: str, form: str = "python", **options: Any) -> tuple[Recording, str]:
    """What a text comes to, and the load test of it."""
    [writer] = [each for each in WRITERS if each.name == form]
    given = ImportOptions("shop", can_capture=writer.can_capture, basic_auth=writer.basic_auth, **options)
    recording, secrets = importer_of(text, None).read(text, "shop.har", given)
    written = writer.write(recording, given)
    assert [secret for secret in secrets if secret in written] == []
    return recording, written


def check_with_ruff(modules: Iterable[str], folder: Path) -> None:
    """Fail unless ruff's defaults find the modules right and formatted."""
    for number, module in enumerate(dict.fromkeys(modules)):
        (folder / f"test_{number}.py").write_text(module, encoding="utf-8")
    for command in (["check"], ["format", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", "."],
            cwd=folder, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
