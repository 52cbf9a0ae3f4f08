from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_ipload.report.files.json_file import report_of
from pytest_ipload.report.files.registry import REPORT_FILES, ReportFile
from pytest_ipload.report.files.report_files import ReportFiles

REPORT = report_of([])
PATHS = [kind for kind in REPORT_FILES if kind.variable is None]
AUTO = [kind for kind in REPORT_FILES if kind.variable is not None]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in AUTO:
        monkeypatch.delenv(str(kind.variable), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", REPORT_FILES, ids=lambda kind: kind.name)
class TestEachKind:
    def test_its_file_is_written_with_the_folders_above_it(self, kind: ReportFile) -> None:
        files = ReportFiles({kind.name: "new/folder/out"})
        assert bool(files)
        files.write(REPORT)
        path = Path.cwd() / "new" / "folder" / "out"
        assert (files.written, files.problems) == ([(kind, path)], [])
        assert path.read_text(encoding="utf-8")
        assert files.path_of(kind.name) == path

    def test_a_file_of_an_earlier_run_is_replaced(self, kind: ReportFile) -> None:
        Path("out").write_text("earlier run " * 10_000)
        ReportFiles({kind.name: "out"}).write(REPORT)
        assert "earlier run" not in Path("out").read_text(encoding="utf-8")

    def test_a_path_that_cannot_be_written_is_a_problem(self, kind: ReportFile) -> None:
        files = ReportFiles({kind.name: "file/out"})
        Path("file").touch()
        files.write(REPORT)
        [problem] = files.problems
        assert problem.startswith(f"{kind.flag}: not written: ")
        assert files.written == []

    def test_a_directory_is_refused_before_the_load(self, kind: ReportFile) -> None:
        with pytest.raises(pytest.UsageError, match=rf"{kind.flag}: \. is a directory; give the path of a file"):
            ReportFiles({kind.name: "."})


BAD_PATHS = {
    "a long name": "a" * 300,
    "a long name in a folder that is missing": "new/" + "a" * 300,
    "a long path": "a/" * 3000 + "b",
    "a NUL": "a\0b",
}


@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS)
@pytest.mark.parametrize("option", [*(kind.name for kind in REPORT_FILES), "jsonl"])
def test_a_path_that_cannot_be_one_of_a_file_ends_the_session_before_the_load(
    pytester: pytest.Pytester, option: str, path: str
) -> None:
    pytester.makepyfile("def test_it(ipload_user): pass")
    result = pytester.runpytest(f"--ipload-{option}={path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --ipload-{option}: *a* is not a path for a file: *", ""])
    assert len(result.stderr.str()) < 1000


def test_a_writer_with_a_mistake_takes_nothing_with_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("no list")

    monkeypatch.setattr("pytest_ipload.report.files.markdown.write", broken)
    pytester.makepyfile("def test_it(ipload_user): pass")
    result = pytester.runpytest("--ipload-summary=out.md", "--ipload-json=out.json", "--junit-xml=out.xml")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--ipload-summary: not written: TypeError: no list", "ipload json report: *"])
    assert Path("out.json").exists()
    assert Path("out.xml").exists()


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        (
            "report.terminal.load_block.print_results",
            "pytest-ipload: the summary of the load tests could not be made: TypeError: x",
        ),
        ("report.files.json_file.report_of", "pytest-ipload: the report files could not be made: TypeError: x"),
        ("plugin.reporting.saving.Saving.save", "pytest-ipload: the saved run could not be made: TypeError: x"),
    ],
)
def test_a_mistake_of_ours_is_said_and_takes_nothing_with_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: str, complaint: str
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("x")

    monkeypatch.setattr(f"pytest_ipload.{place}", broken)
    pytester.makepyfile("def test_it(ipload_user): pass")
    result = pytester.runpytest("--ipload-save=x", "--ipload-json=out.json", "--junit-xml=out.xml")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([complaint])
    assert Path("out.xml").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "option", [kind.name for kind in REPORT_FILES if kind.name != "summary"] + ["summary", "jsonl"]
)
def test_a_full_disk_makes_the_exit_code_red(pytester: pytest.Pytester, option: str) -> None:
    pytester.makepyfile("def test_it(ipload_user):\n    with ipload_user.measure('x'): pass")
    result = pytester.runpytest(f"--ipload-{option}=/dev/full", "--junit-xml=out.xml")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"--ipload-{option}: not written: *No space left on device*"])
    assert Path("out.xml").exists()


def test_a_run_that_cannot_be_saved_makes_the_exit_code_red(pytester: pytest.Pytester) -> None:
    Path(".ipload").touch()
    pytester.makepyfile("import pytest\n@pytest.mark.ipload(users=2, iterations=5)\ndef test_it(): pass")
    result = pytester.runpytest("--ipload-save=x")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["the run is not saved: *"])


def test_an_exit_code_that_is_red_already_stays(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("from pathlib import Path\nPath('file').touch()")
    assert pytester.runpytest("--ipload-json=file/out.json").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_nothing_is_asked_for() -> None:
    files = ReportFiles({"json": None})
    assert not files
    assert files.path_of("json") is None


@pytest.mark.parametrize("given", ["closed/out", "closed/new/out", "read-only"])
def test_a_file_without_permission_is_refused_before_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "read-only").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(pytest.UsageError, match=r"--json: .* cannot be written: no permission to write"):
        ReportFiles({"json": str(tmp_path / given)}, prefix="--")


def test_two_reports_in_one_file_are_refused() -> None:
    with pytest.raises(pytest.UsageError, match=r"--hlog and --json: both are x/\.\./out; give each a file of its own"):
        ReportFiles({"json": "out", "hlog": "x/../out"}, prefix="--")


def test_one_that_cannot_be_written_does_not_keep_the_others_from_it() -> None:
    files = ReportFiles({"json": "file/out", "hlog": "out"})
    Path("file").touch()
    files.write(REPORT)
    assert (len(files.problems), [kind.name for kind, _ in files.written]) == (1, ["hlog"])


@pytest.mark.parametrize("kind", AUTO, ids=lambda kind: kind.name)
class TestAuto:
    def test_it_appends_to_the_file_that_the_variable_names(
        self, kind: ReportFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(str(kind.variable), "named")
        Path("named").write_text("before")
        files = ReportFiles({kind.name: "auto"})
        files.write(REPORT)
        assert files.written == [(kind, Path.cwd() / "named")]
        assert Path("named").read_text().startswith("before\n\n")

    @pytest.mark.parametrize("value", [None, ""])
    def test_without_the_variable_nothing_is_written(
        self, kind: ReportFile, monkeypatch: pytest.MonkeyPatch, value: str | None
    ) -> None:
        if value is not None:
            monkeypatch.setenv(str(kind.variable), value)
        files = ReportFiles({kind.name: "auto"})
        assert not files
        files.write(REPORT)
        assert list(Path.cwd().iterdir()) == []
        assert files.remarks == [f"{kind.flag}=auto: not written: the variable {kind.variable} names no file"]


@pytest.mark.parametrize("kind", PATHS, ids=lambda kind: kind.name)
def test_for_the_others_auto_is_a_path(kind: ReportFile) -> None:
    assert kind.metavar == "PATH"
    ReportFiles({kind.name: "auto"}).write(REPORT)
    assert Path("auto").exists()


def test_a_library_that_is_missing_is_said_before_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = ReportFile("odd", "no_such_module", "")
    monkeypatch.setattr("pytest_ipload.report.files.report_files.REPORT_FILES", (kind,))
    with pytest.raises(pytest.UsageError, match="--ipload-odd: No module named"):
        ReportFiles({"odd": "out"})
