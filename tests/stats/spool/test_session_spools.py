"""The spools of a session: which of them count, and which are gone."""

from __future__ import annotations

from array import array
from pathlib import Path

from pytest_ipload.stats.recorder import Chunk
from pytest_ipload.stats.sample import OK, REQUEST
from pytest_ipload.stats.spool.session_spools import Spool, SpoolFacts, Spools
from pytest_ipload.stats.spool.spool_format import read_spool

CHUNK = Chunk([], {(REQUEST, "GET /", None, 200, OK): array("q", [1, 2])})


def facts(nodeid: str, which: tuple[int, str] | None = None) -> SpoolFacts:
    return SpoolFacts(nodeid, 5, 6, True, which)


def spooled(spools: Spools, nodeid: str) -> Spool:
    spool = spools.open(nodeid)
    assert spool is not None
    spool.add([CHUNK, CHUNK])
    return spool


def test_processes_that_share_a_folder_see_all_that_were_finished(tmp_path: Path) -> None:
    one, other = Spools(tmp_path, "gw0"), Spools(tmp_path, "gw1")
    spooled(one, "a").finish(facts("a", (2, "base")))
    spooled(other, "a").finish(facts("a"))
    running = spooled(other, "b")
    found = Spools(tmp_path, "main").finished()
    assert [(each.nodeid, each.round and tuple(each.round), path.name) for each, path in found] == [
        ("a", (2, "base"), "gw0-000001.spool"),
        ("a", None, "gw1-000001.spool"),
    ]
    assert [list(batch.starts) for _, path in found for batch in read_spool(path)] == [[1, 1], [1, 1]]
    running.finish(facts("b"))
    assert len(one.finished()) == 3


def test_what_a_test_measured_before_is_forgotten_in_its_own_process(tmp_path: Path) -> None:
    one, other = Spools(tmp_path, "gw0"), Spools(tmp_path, "gw1")
    for spools, nodeid in ((one, "a"), (one, "a"), (one, "b"), (other, "a")):
        spooled(spools, nodeid).finish(facts(nodeid))
    one.forget("a")
    one.forget("never run")
    assert [path.name for _, path in one.finished()] == ["gw0-000003.spool", "gw1-000001.spool"]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".json", ".spool", ".spool"]


def test_a_folder_that_is_gone_is_said_and_raises_nothing(tmp_path: Path) -> None:
    spools = Spools(tmp_path / "gone", "main")
    assert spools.open("a") is None
    assert [problem.partition(":")[0] for problem in spools.problems] == ["the samples of a could not be stored"]
    spools = Spools(tmp_path, "main")
    spool = spooled(spools, "a")
    (tmp_path / "main-000001.facts").mkdir()
    spool.finish(facts("a"))
    spool.add([CHUNK])
    spool.finish(facts("a"))
    assert len(spools.problems) == 1
    assert spools.finished() == []
