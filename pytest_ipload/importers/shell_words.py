"""Command lines into words: those of a POSIX shell, and those that browsers write for Windows' cmd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_ipload.importers.recording import ImportProblem

_ANSI = {
    "n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "?": "?",
}  # fmt: skip
_CMD = re.compile(r"\^\r?\n|(?:\A|\n)\s*curl(?:\.exe)?\s+(?:-\S+\s+)*\^\"")
_ENDS = ";\n&|"


@dataclass(frozen=True)
class Command:
    """The words of a command, and the line that it begins in."""

    words: list[str]
    line: int


def commands(text: str) -> list[Command]:
    """The commands of a text. Raises ImportProblem for what only a shell could tell, such as ``$TOKEN``."""
    is_cmd = _CMD.search(text) is not None and not re.search(r"\\\r?\n", text)
    lexer = _Cmd(text) if is_cmd else _Posix(text)
    return list(lexer.commands())


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._line = 1

    def commands(self) -> Iterator[Command]:
        """One after the other."""
        words: list[str] = []
        line = self._line
        while (word := self._next()) is not None:
            if word is _END:
                if words:
                    yield Command(words, line)
                words = []
            else:
                if not words:
                    line = self._word_line
                words.append(str(word))
        if words:
            yield Command(words, line)

    _word_line = 1

    def _next(self) -> str | object | None:
        raise NotImplementedError

    def _char(self) -> str:
        """The next character; an empty text at the end."""
        char = self._text[self._at : self._at + 1]
        self._at += 1
        self._line += char == "\n"
        return char

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _problem(self, what: str) -> ImportProblem:
        return ImportProblem(f"line {self._line}: {what}")


_END = object()
"""The end of a command."""


class _Posix(_Lexer):
    def _next(self) -> str | object | None:
        while (char := self._peek()) and (char in " \t" or self._peek(2) == "\\\n"):
            self._at += 1 if char in " \t" else 2
            self._line += char == "\\"
        if not char:
            return None
        if char in _ENDS:
            self._char()
            return _END
        if char == "#":
            while self._peek() not in ("", "\n"):
                self._at += 1
            return self._next()
        self._word_line = self._line
        return self._word()

    def _word(self) -> str:
        word = []
        while (char := self._peek()) and char not in " \t" and char not in _ENDS:
            self._char()
            if char == "'":
                word.append(self._until_quote())
            elif char == '"':
                word.append(self._in_double_quotes())
            elif char == "\\":
                word.append("" if self._peek() == "\n" else self._peek())
                self._char()
            elif char == "$" and self._peek() == "'":
                self._char()
                word.append(self._ansi())
            elif char in "<>()":
                raise self._problem(f"{char} is for a shell, and cannot be imported; give the command alone")
            else:
                word.append(self._plain(char))
        return "".join(word)

    def _plain(self, char: str) -> str:
        if char == "`" or (char == "$" and re.match(r"[A-Za-z_{(]", self._peek())):
            name = re.match(r"\{?(\w*)", self._peek(60))
            shown = f"${name[1]}" if char == "$" and name and name[1] else "a command in its place"
            raise self._problem(
                f"the value of {shown} is known to your shell only; write the value itself: one that is a secret "
                "becomes an environment variable of the load test"
            )
        return char

    def _until_quote(self) -> str:
        began = self._line
        end = self._text.find("'", self._at)
        if end < 0:
            raise ImportProblem(f"line {began}: a quotation mark (') is not closed")
        text = self._text[self._at : end]
        self._line += text.count("\n")
        self._at = end + 1
        return text

    def _in_double_quotes(self) -> str:
        began, text = self._line, []
        while (char := self._char()) != '"':
            if not char:
                raise ImportProblem(f'line {began}: a quotation mark (") is not closed')
            if char == "\\" and self._peek() and self._peek() in '"\\$`\n!':
                following = self._char()
                text.append("" if following == "\n" else "\\!" if following == "!" else following)
            else:
                text.append(self._plain(char))
        return "".join(text)

    def _ansi(self) -> str:
        r"""The rest of ``$'...'``: with the escapes of C, ``\xHH``, ``\uHHHH`` and octal ones."""
        began, text = self._line, bytearray()
        while (char := self._char()) != "'":
            if not char:
                raise ImportProblem(f"line {began}: a quotation mark ($') is not closed")
            text += self._escape() if char == "\\" else char.encode("utf-8", "surrogatepass")
        return text.decode("utf-8", "surrogateescape")

    def _escape(self) -> bytes:
        for pattern, base in ((r"x([0-9a-fA-F]{1,2})", 16), (r"([0-7]{1,3})", 8)):
            if found := re.match(pattern, self._peek(4)):
                self._at += len(found[0])
                return bytes([int(found[1], base) & 0xFF])
        if found := re.match(r"u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})", self._peek(9)):
            self._at += len(found[0])
            code = int(found[1] or found[2], 16)
            return chr(code).encode("utf-8", "surrogatepass") if code <= 0x10FFFF else b"?"
        char = self._char()
        return _ANSI.get(char, "\\" + char).encode("utf-8", "surrogatepass")


class _Cmd(_Lexer):
    """Carets escape; what is left is taken apart as programs for Windows do it: quotes, and backslashes before them."""

    def commands(self) -> Iterator[Command]:
        """One after the other."""
        for text, line in self._lines():
            words = _windows_words(text, line)
            if words:
                yield Command(words, line)

    def _lines(self) -> Iterator[tuple[str, int]]:
        text, began, quoted = "", 1, False
        while char := self._char():
            if char == "^" and not quoted:
                following = self._char()
                if following == "\n":
                    # A line feed behind the one that is escaped stands for itself.
                    text += self._char() if self._peek() == "\n" else ""
                else:
                    text += following
                continue
            if char == "\n" or (char in "&|" and not quoted):
                yield text, began
                text, began, quoted = "", self._line, False
                continue
            quoted ^= char == '"'
            text += char
        yield text, began


def _windows_words(text: str, line: int) -> list[str]:
    words: list[str] = []
    word, started, quoted = "", False, False
    for slashes, quote, other in re.findall(r"(\\*)(\")|(\\+|[^\\\"])", text):
        if quote:
            word += "\\" * (len(slashes) // 2)
            started = True
            if len(slashes) % 2:
                word += '"'
            else:
                quoted = not quoted
        elif other in (" ", "\t", "\n") and not quoted:
            words += [word] if started else []
            word, started = "", False
        else:
            word += other
            started = True
    if quoted:
        raise ImportProblem(f'line {line}: a quotation mark (") is not closed')
    return [*words, word] if started else words
