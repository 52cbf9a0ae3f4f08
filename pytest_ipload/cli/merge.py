"""The reports of loads that were merged from segments: outside of pytest, so without its terminal and its JUnit."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

from pytest_ipload.base.text import counted, printable
from pytest_ipload.base.units import MS_PER_S, format_duration
from pytest_ipload.report.files.json_file import report_of
from pytest_ipload.report.terminal.load_block import block
from pytest_ipload.verdict.conclude import conclude
from pytest_ipload.verdict.failure_text import failure_message
from pytest_ipload.verdict.result import ERROR, PASSED, LoadResult, UnmeasuredResult
from pytest_ipload.verdict.result_properties import properties_of
from pytest_ipload.verdict.shard_result import ShardResult

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0, production 2 (Char)."""


class Merged:
    """Whole loads and their reports."""

    def __init__(self, loads: Iterable[ShardResult | UnmeasuredResult]) -> None:
        self.results: Mapping[str, LoadResult | UnmeasuredResult] = {
            load.nodeid: conclude(load) if isinstance(load, ShardResult) else load for load in loads
        }

    @property
    def passed(self) -> bool:
        """Whether all loads passed."""
        return all(result.verdict == PASSED for result in self.results.values())

    def print(self, stream: IO[str]) -> None:
        """A block for each load, as in pytest's terminal summary, and what made it fail."""
        width = shutil.get_terminal_size().columns
        for nodeid, result in self.results.items():
            print(f"{printable(nodeid)}  {result.verdict.upper()}", file=stream)
            print(*block(result.as_dict(), 0, width), *clock_lines(result), sep="\n", file=stream)
            print(file=stream)
        passed, failed, errors = self._counts()
        more = f", {counted(errors, 'error')}" if errors else ""
        print(f"{passed} passed, {failed} failed{more}", file=stream)

    def _counts(self) -> tuple[int, int, int]:
        """How many loads passed, failed (or are invalid), and ended in an error."""
        verdicts = [result.verdict for result in self.results.values()]
        passed, errors = verdicts.count(PASSED), verdicts.count(ERROR)
        return passed, len(verdicts) - passed - errors, errors

    def report(self) -> dict[str, Any]:
        """What ``--ipload-json`` writes."""
        return report_of([result.as_dict() for result in self.results.values()])

    def write_junit(self, path: Path) -> None:
        """One testcase for each load, with pytest-ipload's properties. Raises OSError."""
        _, failed, errors = self._counts()
        counts = {"tests": str(len(self.results)), "failures": str(failed), "errors": str(errors), "skipped": "0"}
        suites = ElementTree.Element("testsuites")
        suite = ElementTree.SubElement(suites, "testsuite", {"name": "pytest-ipload", **counts})
        for nodeid, result in self.results.items():
            suite.append(self._case(nodeid, result))
        path.parent.mkdir(parents=True, exist_ok=True)
        ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)

    def _case(self, nodeid: str, result: LoadResult | UnmeasuredResult) -> ElementTree.Element:
        path, _, name = nodeid.partition("::")
        file = Path(path)
        module = file.with_suffix("") if file.name else file  # a node id from a file may have none
        classname = ".".join([*module.parts, *name.split("::")[:-1]])
        case = ElementTree.Element(
            "testcase",
            {
                "classname": _in_xml(classname),
                "name": _in_xml(name.rpartition("::")[2]),
                "time": f"{result.duration_s if isinstance(result, LoadResult) else 0:.3f}",
            },
        )
        properties = ElementTree.SubElement(case, "properties")
        known = properties_of(result) if isinstance(result, LoadResult) else {"ipload_verdict": result.verdict}
        for key, value in known.items():
            ElementTree.SubElement(properties, "property", {"name": key, "value": _in_xml(str(value))})
        if result.verdict != PASSED:
            message = failure_message(result) if isinstance(result, LoadResult) else result.reason
            kind = "error" if result.verdict == ERROR else "failure"
            failure = ElementTree.SubElement(case, kind, {"message": _in_xml(message.splitlines()[0])})
            failure.text = _in_xml(message)
        return case


def clock_lines(result: LoadResult | UnmeasuredResult) -> list[str]:
    """How the clocks of the segments' machines differ from a common one, as far as that is known."""
    shards = (isinstance(result, LoadResult) and result.shards) or ()
    known = [(shard, shard.clock_offset_ms) for shard in shards if shard.clock_offset_ms is not None]
    if not known:
        return []
    reference = f"{known[0][0].clock_reference}'s"
    # An interval that includes 0 says nothing but how precisely the clock is known.
    off = [
        f"{shard.name} is {_span([abs(end) / MS_PER_S for end in ends])} "
        f"{'ahead of' if ends[0] > 0 else 'behind'} {reference}"
        for shard, ends in known
        if ends[0] > 0 or ends[1] < 0
    ]
    widest_s = max(abs(end) for _, ends in known for end in ends) / MS_PER_S
    return [f"clocks: {'; '.join(off) or f'within {format_duration(widest_s)} of {reference}'}"]


def _span(ends_s: Sequence[float]) -> str:
    low, high = format_duration(min(ends_s)), format_duration(max(ends_s))
    return low if low == high else f"{low} to {high}"


def _in_xml(text: str) -> str:
    """The text with everything escaped that XML cannot carry."""
    return _NOT_IN_XML.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)
