"""What becomes of the samples that users record."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from support.scripted_load import Script, ScriptedCrew, make, run

from pytest_ipload.load.executor import Executor
from pytest_ipload.load.schedule import user_slots
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.collector import Pieces
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Chunk
from pytest_ipload.stats.sample import ITERATION

pytestmark = pytest.mark.usefixtures("no_user_thread_is_left")


class TestTap:
    """What takes the samples besides the measurements."""

    def test_it_gets_what_is_folded_in_the_executors_thread(self) -> None:
        taken: list[Chunk] = []
        threads: set[str] = set()

        def tap(chunks: Sequence[Chunk]) -> None:
            taken.extend(chunks)
            threads.add(threading.current_thread().name)

        script = Script()
        executor = run(script, factory=ScriptedCrew(script, tap=tap), users=3, iterations=4)
        samples = [sample for chunk in taken for sample in chunk.all_samples()]
        assert len(samples) == executor.measurements.count(ITERATION) == 12
        assert threads == {threading.current_thread().name}

    def test_it_is_not_called_without_samples(self) -> None:
        taken: list[Sequence[Chunk]] = []
        script = Script()
        executor = make(script, factory=ScriptedCrew(script, tap=taken.append), users=1)
        executor.set_up()
        executor.close()
        assert taken == []

    def test_what_it_raises_ends_the_load(self) -> None:
        def tap(chunks: Sequence[Chunk]) -> None:
            factory.tap = None
            raise ValueError("no room")

        script = Script()
        factory = ScriptedCrew(script, tap=tap)
        executor = make(script, factory=factory, users=2, duration=60.0, think_time=(0.01, 0.01))
        executor.set_up()
        with pytest.raises(ValueError, match="no room"):
            executor.run()
        assert script.count("tear_down") == 2
        assert executor.measurements.count(ITERATION) == script.count("iterate")

    def test_an_interrupt_while_samples_are_folded_loses_none_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        taken: list[Chunk] = []
        folded: list[Chunk] = []

        def fold(measurements: Measurements, chunk: Chunk) -> None:
            if len(folded) == 2:
                monkeypatch.undo()
                raise KeyboardInterrupt
            folded.append(chunk)

        script = Script()
        executor = make(script, factory=ScriptedCrew(script, tap=taken.extend), users=4)
        executor.set_up()
        monkeypatch.setattr(Measurements, "add_chunk", fold)
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        assert taken[:2] == folded


def test_samples_are_kept_by_windows_of_the_lengths_asked_for() -> None:
    script = Script(body=lambda it: None)
    profile = LoadProfile(users=2, iterations=5)
    executor = Executor(profile, user_slots(profile), ScriptedCrew(script), pieces=Pieces([10**12, 10**13]))
    executor.set_up()
    executor.run()
    assert set(executor.measurements.windows) == {10**12, 10**13}
    for length_ns, windows in executor.measurements.windows.items():
        ((_, window),) = windows.full(executor.record.origin_ns + length_ns)
        assert window.count(ITERATION) == executor.measurements.count(ITERATION) == 10
