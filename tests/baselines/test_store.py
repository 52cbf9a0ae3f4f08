from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from support.saved_runs import OTHER, saved_run, saved_test, write_runs

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.machine import this_machine
from pytest_ipload.baselines import store
from pytest_ipload.baselines.store import MOST_FILES, Store, UnusableRun, check_name

FOLDER = f".ipload/{this_machine().folder}"


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


class TestNames:
    @pytest.mark.parametrize("name", ["main", "v1.2", "1f0c_20260131-120000", "a" * 100, "9a", "x+y-z"])
    def test_good_ones(self, name: str) -> None:
        assert check_name(name) == name

    @pytest.mark.parametrize(
        "name", ["", "0001", "a/b", "../x", "a b", ".hidden", "-x", "ä", "a\n", "a" * 101, "a:b", "c\\d", "\x00"]
    )
    def test_bad_ones(self, name: str) -> None:
        with pytest.raises(ValueError, match="is not a valid name for a saved run; give up to 100 letters"):
            check_name(name)


class TestSaving:
    def test_files_are_numbered_in_the_folder_of_the_machine(self, tmp_path: Path) -> None:
        paths = write_runs(tmp_path, saved_run(), saved_run(name="x"), saved_run())
        assert [str(path.relative_to(tmp_path)) for path in paths] == [
            f"{FOLDER}/0001_main.json",
            f"{FOLDER}/0002_x.json",
            f"{FOLDER}/0003_main.json",
        ]
        assert Store(tmp_path).read(paths[1]).name == "x"
        assert sorted(os.listdir(tmp_path / FOLDER)) == [path.name for path in paths]  # nothing else is left

    def test_a_number_is_not_given_twice(self, tmp_path: Path) -> None:
        first, second = write_runs(tmp_path, saved_run(), saved_run())
        first.unlink()
        assert Store(tmp_path).save(saved_run()).name == "0003_main.json"
        (second.parent / "9999_x.json").touch()
        assert Store(tmp_path).save(saved_run()).name == "10000_main.json"
        assert names(Store(tmp_path).find(""))[:2] == ["10000_main", "9999_x"]

    @pytest.mark.parametrize("digits", [9, 10, 30])
    def test_a_number_is_as_long_as_it_has_to_be(self, tmp_path: Path, digits: int) -> None:
        [path] = write_runs(tmp_path, saved_run())
        path.rename(path.with_name(f"{'9' * digits}_x.json"))
        for number in (1, 2):
            assert Store(tmp_path).save(saved_run()).name == f"{10**digits + number - 1}_main.json"
        assert len(Store(tmp_path).find("main")) == 2

    def test_a_number_that_another_session_has_reserved_is_left_to_it(self, tmp_path: Path) -> None:
        Store(tmp_path).save(saved_run())
        (tmp_path / FOLDER / ".0002.reserved").touch()
        assert Store(tmp_path).save(saved_run()).name == "0003_main.json"

    def test_a_number_that_another_session_has_used_meanwhile_is_left_to_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Store(tmp_path).save(saved_run())
        listed, numbers = [], store._numbers

        def too_early_at_first(folder: Path) -> set[int]:
            listed.append(folder)
            return set() if len(listed) == 1 else numbers(folder)

        monkeypatch.setattr(store, "_numbers", too_early_at_first)
        assert Store(tmp_path).save(saved_run()).name == "0002_main.json"

    def test_sessions_at_the_same_time_get_numbers_of_their_own(self, tmp_path: Path) -> None:
        barrier, runs = threading.Barrier(8), 5

        def session(name: str) -> None:
            own_store = Store(tmp_path)
            barrier.wait()
            for _ in range(runs):
                own_store.save(saved_run(saved_test(), name=name))

        sessions = [threading.Thread(target=session, args=(f"session{number}",)) for number in range(8)]
        for each in sessions:
            each.start()
        for each in sessions:
            each.join()
        found = Store(tmp_path).find("")
        assert len({path.name[:4] for path in found}) == len(found) == 8 * runs
        assert len([Store(tmp_path).read(path) for path in found]) == 8 * runs

    def test_a_file_that_cannot_be_finished_is_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*args: object) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="no space left"):
            Store(tmp_path).save(saved_run())
        monkeypatch.undo()
        assert Store(tmp_path).find("") == []
        assert Store(tmp_path).save(saved_run()).name == "0001_main.json"


class TestFinding:
    @pytest.mark.parametrize(
        ("reference", "found"),
        [
            ("", ["0004_x", "0003_main", "0002_x", "0001_main"]),
            ("main", ["0003_main", "0001_main"]),
            ("x", ["0004_x", "0002_x"]),
            ("0003", ["0003_main"]),
            ("3", ["0003_main"]),
            ("0002_x", ["0002_x"]),
            (f"{FOLDER}/0001_main.json", ["0001_main"]),
            (FOLDER, ["0004_x", "0003_main", "0002_x", "0001_main"]),
            ("elsewhere", ["0007_main"]),
            ("elsewhere/", ["0007_main"]),
            ("elsewhere/0007_main.json", ["0007_main"]),
            ("odd.json", ["odd"]),
        ],
    )
    def test_by_name_number_or_path_the_newest_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, found: list[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write_runs(tmp_path, *(saved_run(name=name) for name in ("main", "x", "main", "x")))
        (tmp_path / "elsewhere").mkdir()
        for path in ("elsewhere/0007_main.json", "elsewhere/notes.json", "odd.json"):
            Path(path).write_text(saved_run().to_text())
        assert names(Store(tmp_path).find(reference)) == found

    def test_without_a_reference_there_may_be_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("0001_main.json").touch()
        assert Store(tmp_path).find("") == []

    def test_runs_of_other_kinds_of_machines_are_found_by_their_path_only(self, tmp_path: Path) -> None:
        path = Store(tmp_path, OTHER).save(saved_run())
        assert Store(tmp_path).find("") == []
        assert Store(tmp_path).find(str(path)) == [path]
        assert Store(tmp_path).find(str(path.parent)) == [path]

    @pytest.mark.parametrize("reference", ["nosuch", "0099", "99", "a/b.json", "a" * 5000, "\x00", "²"])
    def test_what_does_not_exist_is_an_error_that_lists_what_does(self, tmp_path: Path, reference: str) -> None:
        with pytest.raises(SettingError, match=f"no such file or folder of saved runs, and {FOLDER} has none$"):
            Store(tmp_path).find(reference)
        write_runs(tmp_path, *(saved_run() for _ in range(12)))
        with pytest.raises(SettingError, match=f"{FOLDER} has 0012_main, .*, 0003_main, ...$"):
            Store(tmp_path).find(reference)

    @pytest.mark.parametrize("reference", ["tests", "tests/", "test_it.py", "tests/test_it.py::test_it"])
    def test_a_test_in_its_place_is_recognised(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("tests").mkdir()
        Path("test_it.py").touch()
        with pytest.raises(SettingError, match=f"If {reference} is what to test: write it before --ipload-compare"):
            Store(tmp_path).find(reference)

    def test_of_very_many_the_newest_are_found(self, tmp_path: Path) -> None:
        folder = tmp_path / FOLDER
        folder.mkdir(parents=True)
        for number in range(MOST_FILES + 5):
            (folder / f"{number:04}_main.json").touch()
        for reference in ("", "main", str(folder)):
            found = names(Store(tmp_path).find(reference))
            assert len(found) == MOST_FILES
            assert found[0] == f"{MOST_FILES + 4:04}_main"

    def test_a_folder_that_cannot_be_listed_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: Path) -> None:
            raise PermissionError(f"not for you: {path}")

        write_runs(tmp_path, saved_run())
        monkeypatch.setattr(Path, "iterdir", refuse)
        with pytest.raises(SettingError, match="saved runs cannot be listed: not for you"):
            Store(tmp_path).find("")

    def test_what_is_no_file_is_none_of_them(self, tmp_path: Path) -> None:
        folder = tmp_path / FOLDER
        (folder / "0001_folder.json").mkdir(parents=True)
        os.mkfifo(folder / "0002_pipe.json")  # to read it would take forever
        assert Store(tmp_path).find("") == []
        with pytest.raises(SettingError):
            Store(tmp_path).find(str(folder / "0002_pipe.json"))


class TestReading:
    @pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[" * 100_000])
    def test_a_broken_file_is_named(self, tmp_path: Path, content: bytes) -> None:
        [path] = write_runs(tmp_path, saved_run())
        path.write_bytes(content)
        with pytest.raises(UnusableRun, match=f"^{FOLDER}/0001_main.json: "):
            Store(tmp_path).read(path)

    def test_so_is_one_that_is_gone_or_far_too_large(self, tmp_path: Path) -> None:
        [path] = write_runs(tmp_path, saved_run())
        os.truncate(path, (1 << 28) + 1)  # a hole: it takes no space
        with pytest.raises(UnusableRun, match="larger than 256 MiB"):
            Store(tmp_path).read(path)
        path.unlink()
        with pytest.raises(UnusableRun, match="No such file"):
            Store(tmp_path).read(path)
