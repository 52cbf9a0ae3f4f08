"""What py-spy complains about."""

from __future__ import annotations

import pytest

from pytest_ipload.explain.py_spy import explained


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (
            "Permission Denied: Try running again with elevated permissions by going 'sudo ...'",
            "no right to read process 7",
        ),
        (
            "Error: Failed to open process 7\nReason: EPERM: Operation not permitted",
            "sysctl kernel.yama.ptrace_scope=0",
        ),
        ("Error: Failed to find python version from target process", "process 7 does not run Python"),
        ("\nError: something else\nmore", "py-spy could not read process 7: Error: something else"),
        ("", "it gave no reason"),
    ],
)
def test_a_complaint_is_explained_in_one_line(log: str, expected: str) -> None:
    text = explained(log, 7)
    assert expected in text
    assert "\n" not in text
