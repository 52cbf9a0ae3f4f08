"""The health checks that the documents describe are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_ipload.base.health_catalogue import HEALTH_CHECKS

DOCUMENT = (Path(__file__).parents[1] / "docs" / "health-checks.md").read_text(encoding="utf-8")


def test_the_table_has_each_check_with_its_severity_and_meaning() -> None:
    rows = re.findall(r"^\| \[`([a-z-]+)`\]\(#([a-z-]+)\) \| `(\w+)` \| (.*) \|$", DOCUMENT, re.MULTILINE)
    assert [name for name, *_ in rows] == [anchor for _, anchor, *_ in rows]
    assert {name: rest for name, _, *rest in rows} == {
        name: [kind.severity, kind.meaning] for name, kind in HEALTH_CHECKS.items()
    }


def test_each_check_has_its_paragraph() -> None:
    paragraphs = dict(re.findall(r"^### ([a-z-]+)\n\n(.+?)(?=^#|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL))
    assert list(paragraphs) == list(HEALTH_CHECKS)
    assert min(map(len, paragraphs.values())) > 50
