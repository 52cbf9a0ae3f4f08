from __future__ import annotations

from pathlib import Path

import pytest
from support.results import load_result
from support.samples import request

from pytest_ipload.plugin.reporting.html_extras import extras_of, link_to

pytest.importorskip("pytest_html")


def test_each_load_has_a_block() -> None:
    results = [load_result([request(name)], verdict=verdict) for name, verdict in (("a", "passed"), ("b", "failed"))]
    first, second = extras_of([result.as_dict() for result in results])
    assert first["format_type"] == second["format_type"] == "html"
    assert first["content"].startswith('<pre class="ipload">load test PASSED\n1 user, 10.0 s, 0 iterations\nrequest ')
    assert second["content"].startswith('<pre class="ipload">load test FAILED\n')


def test_names_are_text_and_no_markup() -> None:
    [extra] = extras_of([load_result([request("<script>alert('&')</script>\x1b[31m\n")]).as_dict()])
    assert extra["content"].count("<") == 2
    assert r"&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;\x1b[31m\n" in extra["content"]


def test_a_link_leads_from_one_report_to_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHERE", "reports")
    link = link_to(tmp_path / "load" / "my report.html", "$WHERE/index.html")
    assert (link["format_type"], link["content"], link["name"]) == ("url", "../load/my%20report.html", "load report")
