"""A hook of MkDocs: links from docs/ to other files of the repository lead to the repository's page.

On GitHub `../examples/conftest.py` is a file beside the documents; the site has only what is in docs/.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<=\]\()(?P<path>\.\.?/[^)#\s]+)(?=[)#])")


def outward(markdown: str, folder: str, repository: str) -> str:
    """The text of a document in a folder (``docs``), with links that leave docs/ as URLs of the repository.

    A link to a file that does not exist is left as it is: a strict build refuses it.
    """

    def replacement(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match["path"]))
        target = ROOT / path
        if path.startswith(("docs/", "..")) or not target.exists():
            return match["path"]
        return f"{repository}/{'tree' if target.is_dir() else 'blob'}/main/{path}"

    return _LINK.sub(replacement, markdown)


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """MkDocs calls this for each document."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    return outward(markdown, folder, config["repo_url"].rstrip("/"))
