"""What the project says of itself in several files is the same in all of them: Pythons, bounds, pages, words, links."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TYPES_OF_FRAGMENTS = {"added", "changed", "deprecated", "removed", "fixed", "security"}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """pyproject.toml."""
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    loaded: dict[str, Any] = toml.loads(text_of("pyproject.toml"))
    return loaded


def script(name: str) -> ModuleType:
    """A script of .ci as a module."""
    spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def words() -> ModuleType:
    return script("words")


def test_the_pythons_of_the_classifiers_are_those_that_are_tested(project: dict[str, Any]) -> None:
    named = [line.rpartition(" ")[2] for line in project["project"]["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert project["project"]["requires-python"] == f">={named[0]}"
    workflow = text_of(".github/workflows/tests.yml")
    required = re.search(r"^ +python: \[(.*)\]\n +dependencies: \[lowest, latest\]", workflow, re.MULTILINE)
    assert required is not None
    assert re.findall(r'"([^"]+)"', required[1]) == named
    on_trial = re.findall(r'\{python: "([^"]+)", .*trial: true\}', workflow)
    [in_tox] = re.findall(r"^    py3\{([\d,]+)\}-\{lowest,latest\}$", text_of("tox.ini"), re.MULTILINE)
    assert {f"3.{minor}" for minor in in_tox.split(",")} == {*named, *(each for each in on_trial if each[-1] != "t")}
    for each in on_trial:
        assert each not in named, f"Python {each} is required now: take it out of the trials"


def test_lowest_means_the_lower_bounds(project: dict[str, Any]) -> None:
    wanted = project["project"]["dependencies"] + [
        each for extra in ("html", "prometheus") for each in project["project"]["optional-dependencies"][extra]
    ]
    bounds = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)$", "\n".join(wanted), re.MULTILINE))
    assert len(bounds) == len(wanted)
    pinned = dict(re.findall(r"^    lowest: ([\w-]+)==([\d.]+)$", text_of("tox.ini"), re.MULTILINE))
    assert pinned == {name: f"{bound}.0" for name, bound in bounds.items()}


def test_each_dependency_is_justified(project: dict[str, Any]) -> None:
    document = text_of("docs/dependencies.md")
    extras = project["project"]["optional-dependencies"]
    for each in project["project"]["dependencies"] + [each for extra in extras.values() for each in extra]:
        name = re.split(r"[\[><=]", each)[0]
        assert name == "pytest-ipload" or re.search(rf"^\|.*\b{name}\b.*\|", document, re.MULTILINE), name


def test_each_page_is_in_the_order_of_reading_and_in_the_navigation() -> None:
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    nav = re.findall(r"^ +- [^:]+: (\S+\.md)$", text_of("mkdocs.yml"), re.MULTILINE)
    assert sorted(nav) == sorted(pages), "mkdocs.yml: each page of docs/ once"
    listed = re.findall(r"\]\(([\w-]+\.md)\)", text_of("docs/README.md").partition("**Begin**")[2])
    assert ["README.md", *listed] == nav, "docs/README.md and mkdocs.yml: the same pages in the same order"


def test_the_site_is_built_so_that_a_warning_fails() -> None:
    for name in (".ci/run", "tox.ini", ".github/workflows/docs.yml"):
        [command] = re.findall(r"mkdocs build.*", text_of(name))
        assert "--strict" in command
        assert "-q" not in command.partition("  #")[0], "--quiet also keeps warnings from being counted"


def anchors_of(document: Path) -> set[str]:
    """What GitHub makes of a document's headings."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = [re.sub(r"\]\([^)]*\)", "]", heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "RELEASING.md", "examples/README.md"])
def test_links_to_a_heading_lead_to_one(name: str) -> None:
    page = ROOT / name  # those of docs/ are checked where the site is built
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        target = page.parent / link if link else page
        if target.suffix == ".md":
            assert anchor in anchors_of(target), f"{name}: {link}#{anchor}"


def test_links_that_leave_the_documents_lead_to_the_repository_on_the_site() -> None:
    outward = script("docs_links").outward
    url = "https://example.org/us/it"
    text = "[a](../README.md#use) [b](../benchmarks) [c](reports.md) [d](../gone.md) ![e](images/html-report.png)"
    assert outward(text, "docs", url) == (
        f"[a]({url}/blob/main/README.md#use) [b]({url}/tree/main/benchmarks) [c](reports.md) [d](../gone.md) "
        "![e](images/html-report.png)"
    )


def test_on_pypi_each_link_of_the_readme_leads_to_the_repository(project: dict[str, Any]) -> None:
    readme = text_of("README.md")
    for rule in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        readme = re.sub(rule["pattern"], rule["replacement"], readme)
    inward = re.findall(r"\]\((?!https?://|#)[^)]*\)", readme)
    assert inward == []
    prefix = project["project"]["urls"]["Homepage"] + "/blob/v$HFPR_VERSION/"
    paths = [link.partition("#")[0] for link in re.findall(rf"\]\({re.escape(prefix)}([^)]*)\)", readme)]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_addresses_of_the_project_are_of_one_place(project: dict[str, Any]) -> None:
    home = project["project"]["urls"]["Homepage"]
    for name in ("pyproject.toml", "mkdocs.yml", "SECURITY.md", ".github/ISSUE_TEMPLATE/config.yml"):
        for url in re.findall(r"https://github\.com/[\w-]+/[\w-]+", text_of(name)):
            assert url == home, name
    assert f"site_url: {project['project']['urls']['Documentation']}\n" in text_of("mkdocs.yml")


def test_links_of_the_project_files_lead_somewhere() -> None:
    for name in ("CONTRIBUTING.md", "SECURITY.md", "RELEASING.md", "changelog.d/README.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text_of(name)):
            assert ((ROOT / name).parent / link).exists(), f"{name}: {link}"


def test_the_changelog_has_the_place_for_releases_and_its_fragments_have_names_that_count(
    project: dict[str, Any],
) -> None:
    settings = project["tool"]["towncrier"]
    assert settings["start_string"] in text_of("CHANGELOG.md")
    assert {each["directory"] for each in settings["type"]} == TYPES_OF_FRAGMENTS
    names = {path.name for path in (ROOT / settings["directory"]).iterdir()} - {"README.md", ".gitkeep"}
    allowed = re.compile(rf"(\d+|\+[\w-]+)\.({'|'.join(sorted(TYPES_OF_FRAGMENTS))})(\.\d+)?\.md")
    assert [name for name in names if not allowed.fullmatch(name)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_reads_unless_a_job_says_more_and_takes_actions_of_a_version(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert "\npermissions:\n  contents: read\n" in text
    uses = re.findall(r"uses: (\S+)", text)
    assert uses
    assert [each for each in uses if not re.search(r"(@v|:)\d+\.\d+\.\d+$", each)] == []
    jobs = text.partition("\njobs:\n")[2]
    assert len(re.findall(r"^  \w+:$", jobs, re.MULTILINE)) == jobs.count("timeout-minutes:")
    assert jobs.count("actions/checkout@") == jobs.count("persist-credentials: false")


def test_the_checked_files_have_no_phrase_that_must_not_come_back(words: ModuleType) -> None:
    assert [str(finding) for path in words.checked() for finding in words.findings(path)] == []


def test_the_list_of_checked_files_stays_true(words: ModuleType) -> None:
    assert words.checked("*.md  # all\n\nSECURITY.md") == sorted(ROOT.glob("*.md"))
    with pytest.raises(SystemExit, match=r"there is no file gone\.md; remove the line, or correct it"):
        words.checked("*.md\ngone.md")
    with pytest.raises(SystemExit, match=r"SECURITY\.md is clean now; remove its line with '!'"):
        words.checked("*.md\n!SECURITY.md")


def test_contributing_has_each_phrase_and_what_to_write_instead(words: ModuleType) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", text_of("CONTRIBUTING.md").partition("| not |")[2], re.MULTILINE)
    assert rows == [(phrase.shown, phrase.instead) for phrase in words.PHRASES]


def test_phrases_are_found_in_prose_and_not_in_code(words: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "It is no\nnumber; there is no rate, and it is no longer.\n\n`so many` [x](#nobody)\n\n```sh\nso many\n```\n"
        "For want\n  of one, `nobody`: ``nobody ` `` **nobody**\n",
        encoding="utf-8",
    )
    assert [(each.line, each.phrase.shown) for each in words.findings(page)] == [
        (1, "is no X"),
        (9, "for want of"),
        (10, "nobody"),
    ]
    module = tmp_path / "module.py"
    module.write_text(
        '"""So many\nlines, `nobody`."""\n\nbroken_off = f"{len(x)!r} is no {kind} of {y}"\nnobody = (\n    "in the "\n'
        '    "midst"\n)  # those who\n',
        encoding="utf-8",
    )
    assert [(each.line, each.phrase.shown) for each in words.findings(module)] == [
        (1, "so many"),
        (4, "is no X"),
        (6, "in the midst"),
        (8, "those who"),
    ]


def test_the_check_of_words_is_a_command(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nThe load is broken off.\n", encoding="utf-8")
    command = [sys.executable, str(ROOT / ".ci" / "words.py"), str(page)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, f"{page}:3: 'broken off'; instead: aborted\n")
    page.write_text("# Title\n\nThe load is aborted.\n", encoding="utf-8")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_contributing_names_few_files_for_a_change_and_all_of_them_exist() -> None:
    """A setting and an output file need two files, a metric for thresholds three."""
    table = text_of("CONTRIBUTING.md").partition("| to add |")[2].partition("\n\n")[0]
    rows = {row.split("|")[1].strip(): re.findall(r"`([\w/]+\.py)`", row) for row in table.splitlines()[2:]}
    most = {"a setting": 2, "an output file": 2, "a metric for thresholds": 3}
    assert {change: len(rows[change]) for change in most} == most
    new = {path for files in rows.values() for path in files if "NAME" in path}
    missing = {path for files in rows.values() for path in files if not (ROOT / "pytest_ipload" / path).exists()}
    assert missing == new


def test_contributing_shows_all_rooms() -> None:
    table = text_of("CONTRIBUTING.md").partition("| room |")[2].partition("\n\n")[0]
    shown = set(re.findall(r"^\| `(\w+)/`", table, re.MULTILINE))
    assert shown == {path.parent.name for path in (ROOT / "pytest_ipload").glob("*/__init__.py")}
