"""Phrases that must not come back: finds them in prose, docstrings, comments and messages.

    python .ci/words.py              the files of .ci/words-checked.txt; exit code 1 if one has such a phrase
    python .ci/words.py FILE...      these files instead
    python .ci/words.py --report     all files, a line for each: how many it has; exit code 0

The words to write instead are in CONTRIBUTING.md, section "Words". Code is not looked at: in Markdown what stands in
backticks or fences, in Python everything but strings and comments.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
CHECKED = ROOT / ".ci" / "words-checked.txt"
EVERYTHING = ("*.md", "docs/**/*.md", "examples/*.md", "examples/*.py", "changelog.d/*.md", "pytest_ipload/**/*.py")


@dataclass(frozen=True)
class Phrase:
    """A phrase as CONTRIBUTING.md shows it, how to find it, and what to write instead."""

    shown: str
    pattern: str
    instead: str

    @property
    def regex(self) -> re.Pattern[str]:
        """Finds it in any case, also where a line ends between its words."""
        return re.compile(r"\b(?:" + self.pattern.replace(" ", r"\s+") + r")\b", re.IGNORECASE)


PHRASES = (
    Phrase("nobody", "nobody(?: knows| wants)?", "unknown; no one; or say what happens"),
    Phrase("is no X", r"(?<!there\s)(?:is|are|was|were) no(?! (?:longer|more|less|fewer|doubt)\b)", "is not a valid X"),
    Phrase("so many", r"so many(?! that\b)", "N; that number of"),
    Phrase("for want of", "for want of", "because there is no"),
    Phrase("who looks on", "(?:who|that) looks? on", "listener"),
    Phrase("those who", "those who", "users who; name them"),
    Phrase("who knows better", "who knows better", "name the reader: you"),
    Phrase("broken off", "(?:broken|breaks?|broke|breaking) (?:it )?off", "aborted"),
    Phrase("in the midst", "in the midst", "during; in the middle"),
    Phrase("in turns", "in turns", "alternating"),
    Phrase("was asked for", "(?:is|are|was|were|be) asked for", "requested"),
    Phrase("is told", "(?:is|are|was|were|be) told(?! apart)", "is reported"),
    Phrase("has a say in", "ha(?:s|ve) a say", "decides; affects"),
    Phrase("no time at all", "no time at all", "must be greater than 0"),
    Phrase("out of reach", "out of reach", "cannot be reached; name the limit"),
    Phrase("a process, say", "process,? say", "such as a process"),
    Phrase("users there at once", "there at once", "concurrent users"),
    Phrase("short way", "short ways?", "fast path"),
    Phrase("crew", "crews?", "users; load driver"),
    Phrase("spectator", "spectators?", "idle worker"),
    Phrase("TODO", "(?-i:TODO|FIXME|XXX|HACK)", "do it, or open an issue"),
)


class Finding(NamedTuple):
    """A phrase at a line of a file."""

    path: Path
    line: int
    phrase: Phrase

    def __str__(self) -> str:
        path = self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path
        return f"{path}:{self.line}: '{self.phrase.shown}'; instead: {self.phrase.instead}"


def _blank(match: re.Match[str]) -> str:
    """As many characters and the same lines, without a word."""
    return re.sub(r"[^\n]", " ", match[0])


def prose_of_markdown(text: str) -> str:
    """The text with code, comments and the targets of links blanked."""
    text = re.sub(r"^( *)(```+|~~~+).*?^\1\2[ \t]*$", _blank, text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->|(?<=\])\([^)\s]*\)", _blank, text, flags=re.DOTALL)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", lambda match: "`" * len(match[0]), text)


def prose_of_python(text: str) -> str:
    """The text with everything but strings and comments blanked, and their quotes and signs too."""
    lines = text.splitlines(keepends=True)
    page = [list(re.sub(r"[^\n]", " ", line)) for line in lines]
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in kinds:
            continue
        for row in range(token.start[0] - 1, token.end[0]):
            first = token.start[1] if row == token.start[0] - 1 else 0
            last = token.end[1] if row == token.end[0] - 1 else len(lines[row])
            page[row][first:last] = re.sub("[\"'#]", " ", lines[row][first:last])
    prose = "".join("".join(row) for row in page)
    return re.sub(r"(`+)[^`]+\1", lambda match: re.sub(r"[^\n]", "`", match[0]), prose)


def findings(path: Path) -> list[Finding]:
    """The phrases of a file, by line."""
    text = path.read_text(encoding="utf-8")
    prose = prose_of_python(text) if path.suffix == ".py" else prose_of_markdown(text)
    found = [
        Finding(path, prose.count("\n", 0, match.start()) + 1, phrase)
        for phrase in PHRASES
        for match in phrase.regex.finditer(prose)
    ]
    return sorted(found, key=lambda each: each.line)


def matching(pattern: str) -> set[Path]:
    """The files that a line of the list means; a line that means none is an error, so that the list stays true."""
    found = {path for path in ROOT.glob(pattern) if path.is_file()}
    if not found:
        raise SystemExit(f"{CHECKED.name}: there is no file {pattern}; remove the line, or correct it")
    return found


def checked(text: str | None = None) -> list[Path]:
    """The files of the list (or of a text like it) of those that are clean."""
    lines = (line.partition("#")[0].strip() for line in (text or CHECKED.read_text(encoding="utf-8")).splitlines())
    patterns = [line for line in lines if line]
    listed = {path for each in patterns if not each.startswith("!") for path in matching(each)}
    out = {path for each in patterns if each.startswith("!") for path in matching(each[1:])}
    for path in sorted(out):
        if not findings(path):
            raise SystemExit(f"{CHECKED.name}: {path.relative_to(ROOT)} is clean now; remove its line with '!'")
    return sorted(listed - out)


def report() -> None:
    """Print each file with its number of phrases, the most first, and whether it is checked."""
    listed = set(checked())
    everything = [path for pattern in EVERYTHING for path in ROOT.glob(pattern)]
    counts = {path: len(findings(path)) for path in everything}
    for path, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:4}  {'checked' if path in listed else '       '}  {path.relative_to(ROOT)}")
    print(f"{sum(counts.values()):4}  in all; {sum(map(bool, counts.values()))} of {len(counts)} files have some")


def main(arguments: list[str]) -> int:
    """Run as a command; gives its exit code."""
    if arguments == ["--report"]:
        report()
        return 0
    found = [finding for path in (map(Path, arguments) if arguments else checked()) for finding in findings(path)]
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
