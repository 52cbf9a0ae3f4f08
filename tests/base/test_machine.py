from __future__ import annotations

import platform
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_ipload.base import machine
from pytest_ipload.base.machine import Machine, this_machine

ONE = Machine("Linux", "x86_64", "EPYC", 4, "CPython", "3.12")


def test_the_folder_tells_system_and_python() -> None:
    assert ONE.folder == "Linux-x86_64-CPython-3.12"


def test_all_that_differs_is_named() -> None:
    assert ONE.differences(ONE) == []
    assert ONE.differences(replace(ONE, processor="Xeon", processors=8)) == [
        "processor EPYC, here Xeon",
        "processors 4, here 8",
    ]


def test_this_one_is_the_same_each_time() -> None:
    here = this_machine()
    assert here == this_machine()
    assert here.python.rstrip("t") == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert here.processors >= 1
    assert here.processor
    assert not Path(here.folder).parent.name


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 7763: 64\nmodel name\t: other\n", "AMD EPYC 7763: 64"),
        ("Features: fp asimd\n", ""),
        (None, ""),
    ],
)
def test_the_processor_has_the_name_that_linux_gives_it_if_it_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpuinfo: str | None, model: str
) -> None:
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(machine, "_CPUINFO", path)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert this_machine().processor == (model or "aarch64")


@pytest.mark.parametrize(("flag", "suffix"), [(1, "t"), (0, ""), (None, "")])
def test_a_python_with_free_threads_is_another_one(
    monkeypatch: pytest.MonkeyPatch, flag: int | None, suffix: str
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: flag)
    assert this_machine().python == f"{sys.version_info.major}.{sys.version_info.minor}{suffix}"
