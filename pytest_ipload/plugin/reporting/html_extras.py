"""What a load test adds to the report of pytest-html: its block of the terminal summary, and links."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pytest_ipload.report.terminal.load_block import block

_WIDTH = 120
"""Columns of the block's tables."""


def extras_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The blocks of a test's loads, as extras of pytest-html. Raises ImportError without it."""
    from pytest_html.extras import html

    blocks = [[f"load test {result['verdict'].upper()}", *block(result, width=_WIDTH)] for result in results]
    texts = (escape("\n".join(lines)) for lines in blocks)
    return [html(f'<pre class="ipload">{text}</pre>') for text in texts]


def link_to(page: Path, html_path: str) -> dict[str, Any]:
    """A link from the report of pytest-html, whose option is ``html_path``, to the load report."""
    from pytest_html.extras import url

    # pytest-html computes the path of its report in the same way.
    here = (Path.cwd() / Path(os.path.expandvars(html_path)).expanduser()).parent
    link: dict[str, Any] = url(quote(Path(os.path.relpath(page, here)).as_posix()), name="load report")
    return link
