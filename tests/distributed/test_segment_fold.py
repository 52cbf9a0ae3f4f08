"""Files of segments, folded into whole loads: of folders and URLs, with some missing, in several processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.object_store import object_store
from support.parts import part_of
from support.samples import iteration, request

from pytest_ipload.cli.main import FAILED, PASSED, UNUSABLE, main
from pytest_ipload.cli.merge_sources import Awaited
from pytest_ipload.distributed.segment_fold import Least
from pytest_ipload.distributed.store.digest import with_digest
from pytest_ipload.settings.parsing import as_moment
from pytest_ipload.verdict.origin import LEADER, ClockOffset
from pytest_ipload.verdict.shard_result import as_shard


def content(index: int, count: int = 4, *thresholds: str, **fields: Any) -> bytes:
    """The file of a segment with ten requests."""
    part = part_of([request("GET /", 10 + index), iteration()] * 10, *thresholds, **fields)
    part = as_shard(part, index, f"segment {index}/{count}")
    segment = {"index": index, "count": count}
    return json.dumps({"schema": 1, "segment": segment, "tests": [{"part": part.to_plain()}]}).encode()


def folder_of(folder: Path, indexes: Sequence[int], count: int = 4, *thresholds: str, **fields: Any) -> Path:
    for index in indexes:
        (folder / f"segment-{index}.json").write_bytes(content(index, count, *thresholds, **fields))
    return folder


def merged(*words: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The exit code of the command, and what it printed."""
    return (main(["merge", *map(str, words)]), *capsys.readouterr())


def test_a_folder_is_its_segments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of(tmp_path, range(4))
    code, out, err = merged(tmp_path, "--json", tmp_path / "all.json", capsys=capsys)
    assert (code, err) == (PASSED, "")
    first = json.loads((tmp_path / "all.json").read_text())
    assert first["tests"][0]["requests"] == 40
    assert [shard["index"] for shard in first["tests"][0]["shards"]] == [0, 1, 2, 3]
    # The result of the first merge lies in the folder now; it is named, and the result is the same.
    code, again, err = merged(tmp_path, "--json", tmp_path / "more.json", capsys=capsys)
    assert (code, again) == (PASSED, out)
    assert err == f"left out: {tmp_path}/all.json: the report of a whole run; segments are run with --ipload-segment\n"
    assert json.loads((tmp_path / "more.json").read_text()) == first


def test_several_processes_merge_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of(tmp_path, range(3), 4)
    results = []
    for jobs in (1, 2):
        code, out, _ = merged(tmp_path, "--jobs", jobs, "--json", tmp_path / f"{jobs}.txt", capsys=capsys)
        results.append((code, out, json.loads((tmp_path / f"{jobs}.txt").read_text())))
    assert results[0] == results[1]
    assert (results[0][0], "missing: segment 3/4" in results[0][1]) == (FAILED, True)
    (tmp_path / "segment-2.json").write_text("{")
    code, _, err = merged(tmp_path, "--jobs", 2, capsys=capsys)
    assert (code, err.startswith(f"error: {tmp_path}/segment-2.json: not valid JSON")) == (UNUSABLE, True)


def test_an_empty_folder_is_of_no_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = merged(tmp_path, capsys=capsys)
    assert (code, "a folder without files named *.json; no segment has left a result in it" in err) == (UNUSABLE, True)


def test_urls_of_segments(capsys: pytest.CaptureFixture[str]) -> None:
    with object_store() as store:
        store.objects = {f"/run/segment-{index}.json": with_digest(content(index)) for index in (1, 3)}
        template = store.url("/run/segment-{segment}.json?sig=s3cret", user="joe:s3cret")
        code, out, err = merged(template, "--json", store.url("/run/all.json"), capsys=capsys)
        assert (code, "missing: segments 0/4, 2/4;" in out, err) == (FAILED, True, "")
        assert json.loads(store.objects["/run/all.json"])["tests"][0]["requests"] == 20
        code, _, err = merged(store.url("/run/segment-0.json?sig=s3cret"), capsys=capsys)
        assert (code, "segment-0.json?sig=***: there is nothing at this URL" in err) == (UNUSABLE, True)
        store.objects["/run/segment-1.json"] = store.objects["/run/segment-1.json"].replace(b"GET /", b"GET x")
        code, _, err = merged(template, capsys=capsys)
        assert (code, "it is damaged: its content does not match its SHA-256" in err) == (UNUSABLE, True)
        assert "s3cret" not in err


@pytest.mark.parametrize(
    ("least", "thresholds", "code", "said"),
    [
        (
            "3",
            (),
            PASSED,
            "segments-missing: 1 of 4 segments missing (2/4); judged without because of --min-segments 3",
        ),
        ("75%", ("p95 < 5s", "rps > 0.1", "requests >= 30"), PASSED, "--min-segments 75%"),
        ("4", (), FAILED, "missing: segment 2/4 (fewer are there than --min-segments 4); the numbers are"),
        ("76%", (), FAILED, "missing: segment 2/4 (fewer are there than --min-segments 76%)"),
        ("3", ("requests < 35",), FAILED, "cannot be judged: segments are missing, and the whole load has more"),
        ("3", ("requests > 35",), FAILED, "cannot be judged: segments are missing"),
        ("3", ("requests < 25",), FAILED, "FAIL requests 30, limit < 25"),
    ],
)
def test_missing_segments_are_left_out_if_that_is_said(
    tmp_path: Path, least: str, thresholds: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of(tmp_path, (0, 1, 3), 4, *thresholds)
    found, out, _ = merged(tmp_path, "--min-segments", least, capsys=capsys)
    assert (found, said in " ".join(out.split())) == (code, True)
    is_unjudged = "cannot be judged" in said or "missing: " in said[:10]
    assert ("INVALID" in out) == is_unjudged


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "0%", "101%", "x", "", "1%%", "nan", "1e3", "²"])
def test_a_number_of_segments_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of segments; give a whole number from 1, or a share: 95%"):
        Least.parse(text)


def test_segments_of_different_weights_are_no_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of(tmp_path, range(2), 2)
    path = tmp_path / "segment-1.json"
    report = json.loads(path.read_text())
    report["segment"]["weights"] = [2, 1]
    path.write_text(json.dumps(report))
    code, out, _ = merged(tmp_path, capsys=capsys)
    assert (code, "the files are from loads with different weights (2,1; equal)" in out) == (FAILED, True)


def test_how_clocks_differ_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # By its own clock the second one began an hour later; it met the first one in a store, so that is known.
    clocks = (ClockOffset(0.0, 0.0, LEADER), ClockOffset(3599.95, 3600.05, LEADER))
    for index, clock in enumerate(clocks):
        folder_of(tmp_path, [index], 2, clock=clock, started_at=1.7e9 + 3600 * index)
    code, out, _ = merged(tmp_path, "--json", tmp_path / "all.txt", capsys=capsys)
    assert code == PASSED
    assert "clocks: segment 1/2 is 1h00m00s ahead of segment 0's" in out
    shards = json.loads((tmp_path / "all.txt").read_text())["tests"][0]["shards"]
    assert shards[1]["clock_offset_ms"] == [3599950, 3600050]
    assert {shard["clock_reference"] for shard in shards} == {"segment 0"}
    folder_of(tmp_path, [1], 2, clock=clocks[1], started_at=1.7e9)
    code, out, _ = merged(tmp_path, capsys=capsys)
    assert (code, "the segments did not run together: their loads began 1h00m00s apart" in out) == (FAILED, True)


def test_it_waits_for_segments_that_are_still_to_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with object_store() as store:
        given = [str(tmp_path), store.url("/segment-{segment}.json"), str(tmp_path / "more" / "last.json")]
        now, naps = 0.0, 0
        arrivals: dict[int, Callable[[], object]] = {
            1: lambda: folder_of(tmp_path, [1], 2),
            2: lambda: (tmp_path / "segment-0.json").write_text("{"),  # it is still being written
            3: lambda: folder_of(tmp_path, [0], 2),
            4: lambda: store.objects.update({"/segment-0.json": content(0, 2)}),
            5: lambda: store.objects.update({"/segment-1.json": content(1, 2)}),
            6: (tmp_path / "more").mkdir,
            7: (tmp_path / "more" / "last.json").touch,
        }

        def nap(seconds: float) -> None:
            nonlocal now, naps
            now, naps = now + seconds, naps + 1
            arrive = arrivals.get(naps)
            if arrive is not None:
                arrive()

        Awaited(given).wait(60.0, lambda: now, nap)
        assert naps == 7
        Awaited([str(tmp_path / "none")]).wait(2.5, lambda: now, nap)
        assert (naps, now) == (10, 9.5)
    code, out, _ = merged(folder_of(tmp_path / "more", [0], 2), "--wait", "0s", capsys=capsys)
    assert code == UNUSABLE  # 'last.json' is empty
    (tmp_path / "more" / "last.json").unlink()
    code, out, _ = merged(tmp_path / "more", "--wait", "0s", capsys=capsys)
    assert (code, "missing: segment 1/2" in out) == (FAILED, True)


def test_a_common_start_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start-at", "1h"]) == PASSED
    moment = as_moment(capsys.readouterr().out.strip())
    assert 3590 < moment - time.time() <= 3600
    assert main(["start-at", "soon"]) == UNUSABLE
    assert capsys.readouterr().err.startswith("error: start-at: 'soon' is not a duration")
