"""Scenario files are what YAML makes of them again, and what they cannot have is refused or said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hars import entry, har, imported

from pytest_ipload.importers.recording import ImportProblem
from pytest_ipload.importers.yaml_text import lines_of
from pytest_ipload.scenario_files.scenarios import read_scenarios

texts = st.text(max_size=12) | st.sampled_from(
    ["yes", "No", "null", "~", "1e3", "0x1", "12:30", "- a", "a: b", "#", "<<", "=", "é", "\ud83d"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.dictionaries(texts, values, min_size=1, max_size=3))
def test_yaml_reads_what_was_written(value: dict[str, Any]) -> None:
    assert yaml.safe_load("\n".join(lines_of(value))) == value


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (har(entry("PROPFIND", "/")), "the method PROPFIND"),
        ("curl -x http://proxy.test:3128 http://a.test/", "a proxy"),
        ("curl http://a.test/ --data-binary @file.bin", "a file or binary data as a body"),
        ("curl http://a.test/ -F a=@b -F a=@c", "two files under one name, or binary data, in a form"),
        ("curl http://a.test/ -d " + "x" * (1 << 20), "so much: it would be larger than 1 MiB"),
    ],
)
def test_what_a_scenario_file_cannot_have_is_refused(text: str, what: str) -> None:
    with pytest.raises(ImportProblem) as problem:
        imported(text, "yaml")
    assert str(problem.value) == f"a scenario file cannot have {what}; use --as python"
    assert imported(text)[1]


def test_forms_in_parts_are_written_out_or_refer_to_files(tmp_path: Path) -> None:
    _, written = imported("curl http://a.test/ -F 'note=x ${y}' -F n=1", "yaml")
    [step] = yaml.safe_load(written)["scenarios"]["shop"]["steps"]
    assert step["headers"] == {"Content-Type": "multipart/form-data; boundary=----pytest-ipload"}
    assert step["data"].split("\r\n")[1:4] == ['Content-Disposition: form-data; name="note"', "", "x $${y}"]
    _, written = imported("curl http://a.test/ -F n=1 -F 'f=@a.png;type=image/png'", "yaml")
    [step] = yaml.safe_load(written)["scenarios"]["shop"]["steps"]
    assert step["data"] == {"n": "1"}
    assert step["files"] == {"f": {"file": "a.png", "name": "a.png", "type": "image/png"}}


@pytest.mark.parametrize("name", ["setup_shop", "pytest_shop", "class", "été", "17"])
def test_each_name_is_one_that_a_scenario_can_have(name: str, tmp_path: Path) -> None:
    from pytest_ipload.importers.importer_table import WRITERS, importer_of
    from pytest_ipload.importers.recording import ImportOptions

    text, options = har(entry("GET", "/")), ImportOptions(name)
    recording, _ = importer_of(text, None).read(text, "x", options)
    file = tmp_path / "it.ipload.yaml"
    [writer] = [each for each in WRITERS if each.name == "yaml"]
    file.write_text(writer.write(recording, options), encoding="utf-8")
    [scenario] = read_scenarios(file, file.name, None)
    assert not scenario.name.startswith(("setup_", "pytest"))
    assert scenario.name.isidentifier()
