"""What goes wrong on our own side, or in a plugin: a red test that says so, and the session goes on.

Each fault is a conftest file; beside the load test that it hits there are an ordinary test and another load test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from support.team_run import team_run

SOURCE = """
def test_ordinary():
    pass

@pytest.mark.ipload(users=4, iterations={iterations}, think_time="{think_time}")
def test_load(ipload_user):
    with ipload_user.measure("VISIT"):
        pass

@pytest.mark.ipload(users=3)
def test_zz_another(ipload_user):
    pass
"""


@dataclass(frozen=True)
class Fault:
    """A conftest file, and what is to come of it."""

    conftest: str
    child: str = "failure"
    """Of the test's case in the JUnit report."""
    text: str = "no room"
    iterations: int = 1
    replaces: bool = False
    """Whether it changes a function of ours, for the rest of the process."""


def hook(name: str, arguments: str, error: str = "OSError") -> str:
    """A conftest file in which a hook of ours raises for one of the tests."""
    nodeid = "nodeid" if "nodeid" in arguments else "item.nodeid"
    return f"""
import pytest

def pytest_ipload_{name}({arguments}):
    if "test_{name}" in {nodeid}:
        raise {error}("no room for {name}")
"""


def broken(module: str, name: str, error: str = "OSError('no room')") -> Fault:
    """A function of ours raises when it is called first."""
    *owners, last = name.split(".")
    owner = ".".join(["module", *owners])
    return Fault(
        f"""
import pytest
import {module} as module

real = {owner}.{last}
calls = []

def fails_once(*args, **kwargs):
    calls.append(args)
    if len(calls) == 1:
        raise {error}
    return real(*args, **kwargs)

{owner}.{last} = fails_once
""",
        replaces=True,
    )


TEXTLESS = """
import pytest

class Textless:
    def __str__(self):
        raise OSError("no room")

@pytest.fixture(autouse=True)
def odd_property(request):
    if "test_load" in request.node.name:
        request.node.user_properties.append(("odd", Textless()))
"""
NEVER_SENT = """
from pytest_ipload.distributed.controller.coordinator import Coordinator

real = Coordinator.tests_to_run

def all_but_one(self, name):
    nodeids = {place: nodeid for place, nodeid, _ in self.workers[name].tests}
    return [place for place in real(self, name) if "test_load" not in nodeids[place]]

Coordinator.tests_to_run = all_but_one
"""
HOOKS = {
    "sample": ("item, samples", "OSError", "failure"),
    "profile": ("item", "SystemExit", "error"),
    "user_start": ("user, item", "OSError", "error"),
    "result": ("nodeid", "SystemExit", "failure"),
}
"""Their arguments, what they raise, and what it is in the JUnit report."""
FOLDING = broken("pytest_ipload.stats.measurements", "Measurements.add_chunk")
IN_A_TEAM = {
    "part": broken("pytest_ipload.verdict.shard_result", "ShardResult.to_plain"),
    "merge": broken("pytest_ipload.verdict.shard_result", "merge", "pytest.fail.Exception('no room')"),
    "live numbers": replace(broken("pytest_ipload.distributed.controller.shared_load", "together"), iterations=4),
    "all reports": replace(
        broken("pytest_ipload.distributed.controller.load_outcomes", "merged_reports"), child="error"
    ),
    "a report": Fault(TEXTLESS, text="worker gw? failed: OSError: no room*"),
    "no report": Fault(NEVER_SENT, "error", "this load test has no outcome: no worker has run it*", replaces=True),
}
RUNS = [
    pytest.param(FOLDING, (), id="folding alone"),
    pytest.param(FOLDING, ("-n2",), id="folding"),
    *(pytest.param(fault, ("-n2",), id=name) for name, fault in IN_A_TEAM.items()),
]


@pytest.mark.usefixtures("xdist")
@pytest.mark.parametrize(("fault", "args"), RUNS)
def test_it_is_a_red_test_and_the_next_one_runs(pytester: pytest.Pytester, fault: Fault, args: tuple[str, ...]) -> None:
    pytester.makeconftest(fault.conftest)
    source = SOURCE.format(iterations=fault.iterations, think_time="600ms" if fault.iterations > 1 else "50ms")
    run = team_run(pytester, source, *args, "--ipload-progress=log", deaths=fault.replaces)
    run.expect(1, passed=2, **({"errors": 1} if fault.child == "error" else {"failed": 1}))
    assert run.cases == {"test_ordinary": [], "test_load": [fault.child], "test_zz_another": []}
    run.expect_lines(f"*{fault.text}*")
    assert run.tests["test_zz_another"]["verdict"] == "passed"


@pytest.mark.usefixtures("xdist")
@pytest.mark.parametrize("args", [(), ("-n2",)], ids=["alone", "workers"])
def test_a_hook_that_raises_makes_its_test_red_and_the_next_one_runs(
    pytester: pytest.Pytester, args: tuple[str, ...]
) -> None:
    pytester.makeconftest("".join(hook(name, arguments, error) for name, (arguments, error, _) in HOOKS.items()))
    source = SOURCE.format(iterations=1, think_time="50ms")
    first, load, another = source.split("\n\n")
    loads = [load.replace("test_load", f"test_{name}") for name in HOOKS]
    run = team_run(pytester, "\n\n".join([first, *loads, another]), *args, "--ipload-progress=log")
    run.expect(1, passed=2, failed=2, errors=2)
    red = {f"test_{name}": [child] for name, (_, _, child) in HOOKS.items()}
    assert run.cases == {"test_ordinary": [], **red, "test_zz_another": []}
    run.result.stdout.fnmatch_lines_random([f"*no room for {name}*" for name in HOOKS])
    assert run.tests["test_zz_another"]["verdict"] == "passed"


@pytest.mark.usefixtures("xdist")
def test_a_hook_that_wants_the_session_to_end_ends_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(hook("result", "nodeid", "pytest.exit.Exception"))
    source = SOURCE.format(iterations=1, think_time="50ms").replace("test_load", "test_result")
    run = team_run(pytester, source, "-n2")
    run.expect(2, passed=1)
    run.expect_lines("*Exit: no room*")
    assert list(run.cases) == ["test_ordinary"]


@pytest.mark.usefixtures("xdist")
def test_an_exit_in_one_worker_is_a_red_test_that_says_so(pytester: pytest.Pytester) -> None:
    source = SOURCE.format(iterations=1, think_time="50ms").replace(
        "        pass\n\n", "        worker() == 'gw1' and pytest.exit('enough')\n\n", 1
    )
    run = team_run(pytester, source, "-n2")
    run.expect(2, passed=1, failed=1)
    run.expect_lines("worker gw1 failed: Exit: enough*")
    assert run.tests["test_load"]["verdict"] == "invalid"


def test_two_load_tests_of_one_node_id_are_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it="def test_load(ipload_user): pass")
    result = pytester.runpytest("-n2", "--keep-duplicates", "test_it.py", "test_it.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: 2 load tests have the node id test_it.py::test_load, *"])
