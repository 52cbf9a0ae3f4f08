from __future__ import annotations

import threading

from pytest_ipload.load.failure_log import MAX_GROUPS, FailureLog
from pytest_ipload.stats.sample import Problem


def failing(line: int) -> BaseException:
    """An exception whose traceback ends at a line of its own."""
    namespace: dict[str, object] = {}
    source = "\n" * line + "def f():\n    raise ValueError('line %d' % " + str(line) + ")"
    exec(compile(source, f"/projects/test_{line}.py", "exec"), namespace)
    try:
        namespace["f"]()  # type: ignore[operator]
    except ValueError as error:
        return error
    raise AssertionError


def test_failures_of_the_same_type_and_place_are_one_group_with_the_first_one_in_full() -> None:
    log = FailureLog()
    first = failing(3)
    log.add_exception(first, user=4, iteration=7, source_address="127.0.0.5")
    log.add_exception(failing(3), user=5, iteration=1, source_address=None)
    log.add_exception(failing(9), user=6, iteration=0, source_address=None)
    common, other = log.groups()
    assert (common.count, common.user, common.iteration, common.source_address) == (2, 4, 7, "127.0.0.5")
    assert common.exception is first
    assert common.location.endswith("test_3.py:5")
    assert common.message == "line 3"
    assert other.count == 1


def test_a_failed_request_groups_by_its_problem_and_has_no_exception() -> None:
    log = FailureLog()
    for user in range(3):
        log.add_problem(Problem("HTTP 503", "GET /x answered 503", "test_a.py:5"), user, 0, None)
    (group,) = log.groups()
    assert (group.type, group.count, group.exception) == ("HTTP 503", 3, None)


def test_the_number_of_groups_is_bounded() -> None:
    log = FailureLog()
    for number in range(MAX_GROUPS + 30):
        log.add_problem(Problem("HTTP 500", "", f"test_a.py:{number}"), 0, 0, None)
    groups = log.groups()
    assert len(groups) == MAX_GROUPS + 1
    assert (groups[0].type, groups[0].count) == ("(other failures)", 30)


def test_a_message_is_one_short_line_even_when_the_exception_cannot_show_it() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    log = FailureLog()
    log.add_exception(Broken(), 0, 0, None)
    log.add_exception(ValueError("a" * 1000 + "\nsecond line"), 0, 0, None)
    messages = {group.type: group.message for group in log.groups()}
    assert messages["Broken"] == "<its message cannot be shown: RuntimeError>"
    assert len(messages["ValueError"]) < 400
    assert "\n" not in messages["ValueError"]


def test_no_failure_is_lost_between_threads() -> None:
    log = FailureLog()
    problem = Problem("HTTP 500", "", "x.py:1")

    def fail_often() -> None:
        for _ in range(500):
            log.add_problem(problem, 0, 0, None)

    threads = [threading.Thread(target=fail_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [group.count for group in log.groups()] == [4000]
