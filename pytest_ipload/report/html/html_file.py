"""The HTML report: one file that needs nothing but a browser. Its contents: docs/html-report.md.

Every name or message is escaped by Jinja2, and made printable before (``_shown``). A
Content-Security-Policy lets the page run its own two scripts, by their hashes, and fetch nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_ipload.base.text import printable
from pytest_ipload.report.html.html_tables import environment_table, index_table
from pytest_ipload.report.html.sections import by_gravity, headline, sections_of

try:
    import jinja2
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs
except ImportError as error:
    missing = str(error.name).partition(".")[0]
    raise ImportError(f"{missing} is missing; install it with: pip install 'pytest-ipload[html]'") from error

_TEMPLATES = "report/html/templates"


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write the page, with the folders above it. Raises OSError if the file cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    templates = _environment()
    sections = sections_of(report["tests"])
    listed = by_gravity(sections)
    has_charts = any(section.charts for section in sections)
    plotly = _script(get_plotlyjs()) if has_charts else ""
    own = _script(_source(templates, "report.js"))
    page = templates.get_template("page.html").generate(
        title=headline(sections),
        sections=listed,
        index=index_table([section.result for section in listed]),
        environment=environment_table(report["environment"]),
        style=_source(templates, "report.css"),
        scripts=[script for script in (plotly, own) if script],
        hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in (plotly, own) if script),
    )
    with path.open("w", encoding="utf-8") as file:
        file.writelines(page)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pytest_ipload", _TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["zip"] = zip
    # tojson escapes <, >, & and ' as JSON can: no text ends the script that it stands in.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _shown(value: Any) -> Any:
    """What a template shows of a value: texts from outside without characters that a browser would interpret.

    NUL and lone surrogates are not valid text in HTML, and a right-to-left override reverses the text next to it.
    """
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _source(environment: jinja2.Environment, name: str) -> Markup:
    """A file beside the templates, as it is."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _script(text: str) -> Markup:
    """A script as a browser sees it: it reads every line end as a line feed before it computes the hash."""
    return Markup(text.replace("\r\n", "\n").replace("\r", "\n"))


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
