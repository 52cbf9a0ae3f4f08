"""One test's reports out of those of a team."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_ipload.distributed.controller.known_worker import Worker
from pytest_ipload.distributed.controller.merge_reports import merged_reports
from pytest_ipload.distributed.controller.shared_load import Done, SharedLoad, State
from pytest_ipload.verdict.conclusion import Conclusion

NODEID = "test_a.py::test_a"
Plain = dict[str, Any]


def report(when: str, outcome: str = "passed", **more: Any) -> Plain:
    return {"when": when, "outcome": outcome, "longrepr": None, "user_properties": [], "sections": [], **more}


def phases(call: Plain, **others: Plain) -> list[Plain]:
    return [others.get("setup", report("setup")), call, others.get("teardown", report("teardown"))]


def load(plain: Plain) -> pytest.TestReport:
    results = plain.pop("ipload", None)
    made = pytest.TestReport(nodeid=NODEID, location=("test_a.py", 3, "test_a"), keywords={}, **plain)
    if results is not None:
        vars(made)["ipload"] = results
    return made


def shared_load(*reports: list[Plain] | None, aborted: tuple[str, ...] = (), **state: Any) -> SharedLoad:
    """A test that is over; None for a worker that is lost."""
    members = [Worker(f"gw{number}", number, 0) for number in range(len(reports))]
    done = {
        worker.name: Done(each, worker.name in aborted)
        for worker, each in zip(members, reports, strict=True)
        if each is not None
    }
    return SharedLoad(
        NODEID, 4, lambda *_: None, State.CLOSED, members, done=done, **{"conclusion": Conclusion("passed"), **state}
    )


def merged(test: SharedLoad) -> tuple[str, dict[str, pytest.TestReport]]:
    name, reports = merged_reports(test, load, "ipload")
    assert [each.when for each in reports] == [
        when for when in ("setup", "call", "teardown") if when in {each.when for each in reports}
    ]
    return name, {str(each.when): each for each in reports}


def outcomes(test: SharedLoad) -> tuple[str, dict[str, str]]:
    name, reports = merged(test)
    return name, {when: each.outcome for when, each in reports.items()}


def test_all_passed() -> None:
    results = [{"verdict": "passed"}]
    test = shared_load(*[phases(report("call", ipload=results, user_properties=[["a", 1]])) for _ in range(3)])
    name, reports = merged(test)
    assert (name, {each.outcome for each in reports.values()}) == ("gw0", {"passed"})
    assert [when for when, each in reports.items() if hasattr(each, "ipload")] == ["call"]  # once
    assert all(each.user_properties == [("a", 1)] for each in reports.values())  # JUnit takes those of the tear-down


def test_the_results_are_those_of_the_whole_load() -> None:
    broken_off = report("call", "failed", ipload=[{"verdict": "invalid", "of": "a part"}])
    conclusion = Conclusion("invalid", results=[{"verdict": "invalid", "of": "the whole"}])
    for conclusion_or_none, of in ((conclusion, "the whole"), (None, "a part"), (Conclusion("error"), "a part")):
        test = shared_load(phases(dict(broken_off)), phases(report("call")), conclusion=conclusion_or_none)
        _, reports = merged(test)
        assert [each["of"] for each in vars(reports["call"])["ipload"]] == [of]


@pytest.mark.parametrize("when", ["call", "teardown"])
def test_the_worst_report_counts_and_names_its_worker(when: str) -> None:
    bad = report(when, "failed", longrepr="no")
    test = shared_load(phases(report("call")), phases(**{"call": report("call"), when: bad}), phases(report("call")))
    name, found = outcomes(test)
    assert name == "gw1"
    assert found == {**dict.fromkeys(("setup", "call", "teardown"), "passed"), when: "failed"}


def test_an_error_of_the_set_up_leaves_no_call() -> None:
    called_off = phases(report("call", "failed", longrepr="called off"))
    failed = [report("setup", "failed", longrepr="no set-up"), report("teardown")]
    name, reports = merged(shared_load(called_off, failed, aborted=("gw0",)))
    assert (name, list(reports)) == ("gw1", ["setup", "teardown"])
    assert ("ipload", "the set-up failed on 1 of 2 workers: gw1\n") in reports["setup"].sections


def test_a_skip_on_all_is_a_skip() -> None:
    skipped = [report("setup", "skipped", longrepr=("test_a.py", 3, "Skipped: no")), report("teardown")]
    name, found = outcomes(shared_load(skipped, [dict(each) for each in skipped]))
    assert (name, found) == ("gw0", {"setup": "skipped", "teardown": "passed"})


def test_a_skip_on_some_is_an_error() -> None:
    skipped = [report("setup", "skipped", longrepr=("test_a.py", 3, "Skipped: no")), report("teardown")]
    called_off = phases(report("call", "failed", longrepr="called off"))
    _, reports = merged(shared_load(called_off, skipped, aborted=("gw0",)))
    assert reports["setup"].failed
    assert reports["setup"].longrepr == ("skipped on 1 of 2 workers: gw1 only; the load test did not run: Skipped: no")


def test_the_results_of_those_who_were_called_off_are_not_those_of_a_set_up_that_failed() -> None:
    called_off = phases(report("call", "failed", longrepr="called off", ipload=[{"reason": "called off"}]))
    skipped = [report("setup", "skipped", longrepr=("test_a.py", 3, "Skipped: no")), report("teardown")]
    failed = [report("setup", "failed", longrepr="no", ipload=[{"reason": "no"}]), report("teardown")]
    for own, reason in ((skipped, None), (failed, [{"reason": "no"}])):
        _, reports = merged(shared_load([dict(each) for each in called_off], own, aborted=("gw0",), conclusion=None))
        assert vars(reports["setup"]).get("ipload") == reason


def test_a_call_that_was_called_off_gives_way_to_the_one_that_was_the_cause() -> None:
    skipped = phases(report("call", "skipped", longrepr=("test_a.py", 3, "Skipped: in the body")))
    called_off = phases(report("call", "failed", longrepr="called off"))
    assert outcomes(shared_load(called_off, skipped, aborted=("gw0",)))[1]["call"] == "skipped"


def test_a_lost_worker_is_not_green_even_if_the_others_are() -> None:
    test = shared_load(phases(report("call")), None, lost=[("gw1", "it died")])
    name, reports = merged(test)
    assert (name, reports["call"].outcome) == ("gw1", "failed")
    assert reports["call"].longrepr == "the load test lost 1 of 2 workers: gw1: it died"


def test_what_the_others_say_of_a_lost_worker_stands() -> None:
    said = phases(report("call", "failed", longrepr="invalid: lost gw1", ipload=[{"verdict": "invalid"}]))
    name, reports = merged(shared_load(said, None, lost=[("gw1", "it died")]))
    assert (name, reports["call"].longrepr) == ("gw0", "invalid: lost gw1")
    assert vars(reports["call"])["ipload"] == [{"verdict": "invalid"}]


def test_all_lost() -> None:
    name, reports = merged(shared_load(None, None, lost=[("gw1", "it died"), ("gw0", "it too")]))
    assert (name, list(reports)) == ("gw1", ["call", "teardown"])
    assert reports["call"].longrepr == "the load test lost 2 of 2 workers: gw1: it died; gw0: it too"
    assert reports["call"].location == ("test_a.py", None, "test_a")


def test_all_lost_after_the_verdict() -> None:
    conclusion = Conclusion("passed", properties={"a": 1}, results=[{"verdict": "passed"}])
    test = shared_load(None, None, vanished=[("gw0", "it died"), ("gw1", "it died")], conclusion=conclusion)
    _, reports = merged(test)
    assert reports["call"].failed
    assert vars(reports["call"])["ipload"] == conclusion.results
    assert reports["teardown"].user_properties == [("a", 1)]


def test_one_lost_in_its_teardown() -> None:
    test = shared_load(phases(report("call")), None, vanished=[("gw1", "it died")])
    name, reports = merged(test)
    assert (name, reports["call"].outcome) == ("gw1", "passed")
    assert reports["teardown"].longrepr == "worker gw1 was lost after the load: it died"


@pytest.mark.parametrize("of_each", [[], phases(report("call"))])
@pytest.mark.parametrize("aborted", [None, "the verdict could not be made"])
def test_without_a_report_or_a_verdict_it_is_a_failure(of_each: list[Plain], aborted: str | None) -> None:
    test = shared_load(of_each, of_each, conclusion=None)
    test.aborted = aborted
    name, reports = merged(test)
    assert (name, reports["call"].outcome) == ("gw0", "failed")
    assert reports["call"].longrepr == f"the load test has no verdict: {aborted or 'no worker reported it'}"
    assert reports["teardown"].passed


def test_what_failed_outside_of_its_phases_is_the_failure() -> None:
    missed = phases(report("call", "failed", longrepr="invalid: worker gw1: ..."))
    name, reports = merged(shared_load(missed, [], failed={"gw1": "OSError: no disk"}))
    assert (name, reports["call"].longrepr) == ("gw1", "worker gw1 failed: OSError: no disk")


def test_a_worker_that_only_waited_may_fail() -> None:
    name, reports = merged(shared_load(phases(report("call")), failed={"gw7": "Timeout"}))
    assert (name, reports["call"].longrepr) == ("gw7", "worker gw7 failed: Timeout")


def test_the_one_whose_part_was_broken_off_tells_why() -> None:
    others = phases(report("call", "failed", longrepr="invalid: worker gw1: broken off by OSError"))
    cause = phases(report("call", "failed", longrepr="OSError: no disk"))
    test = shared_load(others, cause, ended_by={"gw1": "by OSError"})
    name, reports = merged(test)
    assert (name, reports["call"].longrepr) == ("gw1", "OSError: no disk")
