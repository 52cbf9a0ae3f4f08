from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.samples import MS, ORIGIN, SECOND, iteration, measurements, request

from pytest_ipload.base.health_catalogue import (
    HEALTH_CHECKS,
    SEVERITIES,
    HealthCheck,
    by_gravity,
    fired,
    fired_by_message,
)
from pytest_ipload.load.generator.checks import CheckInput, Outcome, ResponseLimit, examine, examine_whole
from pytest_ipload.load.generator.monitor import GeneratorReadings
from pytest_ipload.load.load_record import LoadRecord
from pytest_ipload.load.user_time import LATE_START_S
from pytest_ipload.stats.sample import FAILED, FAULT, LATENESS, Problem, Sample
from pytest_ipload.stats.series_table import MAX_NAMES


def vitals(
    *,
    seconds: int = 0,
    busy: int = 0,
    lags_ms: dict[float, int] | None = None,
    waited_ms: int | None = None,
    cpu: float,
    judged_s: float = 0.0,
    full_s: float = 0.0,
    cores: float = 1.0,
) -> GeneratorReadings:
    """GeneratorReadings that someone watched: ``lags_ms`` is the number of readings by their value, ``cpu`` a share."""
    found = GeneratorReadings()
    found.judged_ns, found.busy_ns, found.cores = round(judged_s * SECOND), round(full_s * SECOND), cores
    found.judged_cpu_ns = round(cpu * found.judged_ns)
    found.seconds, found.busy_seconds = seconds, busy
    found.watched_ns = seconds * SECOND
    found.cpu_ns = round(cpu * found.watched_ns)
    found.queue_wait_ns = None if waited_ms is None else waited_ms * MS
    for lag, count in (lags_ms or {}).items():
        for _ in range(count):
            found.lags.record(round(lag * MS))
            found.late_ns += round(lag * MS)
    return found


def signs(*, record: LoadRecord | None = None, vital: GeneratorReadings | None = None, **more: Any) -> CheckInput:
    return CheckInput(record or LoadRecord(), vital or GeneratorReadings(), **more)


def whole(*samples: Sample, planned: int | None = None, dropped: int | None = None, **more: Any) -> Outcome:
    return Outcome(measured=measurements(samples), planned_iterations=planned, dropped_iterations=dropped, **more)


def names(load: CheckInput | Outcome) -> list[str]:
    return [check.name for check in (examine(load) if isinstance(load, CheckInput) else examine_whole(load))]


def only(load: CheckInput | Outcome) -> HealthCheck:
    (check,) = examine(load) if isinstance(load, CheckInput) else examine_whole(load)
    return check


def fault(name: str, message: str) -> Sample:
    return request(outcome=FAULT, fault=name, problem=Problem("X", message, ""))


def test_many_events_that_were_read_together_late_are_a_sign() -> None:
    what = only(signs(gaps=1000, joined_gaps=11)).what
    assert what == "11 of 1 000 gaps between events (1.1 %) were not measured: the events waited to be read, together"
    assert names(signs(gaps=1000, joined_gaps=10)) == names(signs()) == []


class TestTable:
    @pytest.mark.parametrize("name", HEALTH_CHECKS)
    def test_each_check_has_a_severity_and_all_of_its_texts(self, name: str) -> None:
        kind = HEALTH_CHECKS[name]
        assert kind.severity in SEVERITIES
        assert kind.meaning[0].islower()
        assert kind.effect[0].isupper()
        assert kind.advice[0].isupper()
        assert not {kind.meaning[-1], kind.effect[-1], kind.advice[-1]} & set(".;,")

    def test_a_check_is_a_name_and_a_paragraph_of_three_sentences(self) -> None:
        check = fired("late-starts", "3 of 50 users were late")
        effect, advice = HEALTH_CHECKS["late-starts"].effect, HEALTH_CHECKS["late-starts"].advice
        assert check.paragraph == f"3 of 50 users were late. {effect}. {advice}"
        assert check.note == f"late-starts: {check.paragraph}"
        assert fired("late-starts", "x", "Do this").paragraph.endswith(". Do this")

    @pytest.mark.parametrize(
        ("message", "paragraph"),
        [
            ("no port (a; b); widen it", "no port (a; b). EFFECT. Widen it"),
            ("no port", "no port. EFFECT. ADVICE"),
            ("", ". EFFECT. ADVICE"),
        ],
    )
    def test_a_message_may_have_an_advice_of_its_own(self, message: str, paragraph: str) -> None:
        kind = HEALTH_CHECKS["ports-exhausted"]
        expected = paragraph.replace("EFFECT", kind.effect).replace("ADVICE", kind.advice)
        assert fired_by_message("ports-exhausted", message).paragraph == expected

    def test_a_fault_that_nobody_here_knows_is_a_fault_all_the_same(self) -> None:
        assert (fired("strange-fault", "x").name, fired("strange-fault", "x").severity) == ("strange-fault", "invalid")

    def test_late_means_what_the_text_says(self) -> None:
        assert LATE_START_S == 0.05
        assert HEALTH_CHECKS["late-starts"].meaning == "users started more than 50 ms late"


def test_of_a_load_of_which_nothing_is_known_nothing_is_said() -> None:
    assert names(signs()) == []
    assert names(whole(*[request()] * 100)) == []


class TestRate:
    @pytest.mark.parametrize(
        ("planned", "dropped", "fires"),
        [
            (None, None, False),
            (100, None, False),
            (0, 0, False),
            (100, 0, False),
            (100, 1, False),
            (100, 2, True),
            (1000, 10, False),
            (1000, 11, True),
            (1, 1, True),
        ],
    )
    def test_more_than_one_percent_is_too_much(self, planned: int | None, dropped: int | None, fires: bool) -> None:
        assert names(whole(planned=planned, dropped=dropped)) == ["rate-not-reached"] * fires

    def test_unless_somebody_else_judges_it_or_the_load_did_not_last(self) -> None:
        load = whole(planned=1000, dropped=500)
        assert names(load) == ["rate-not-reached"]
        assert names(replace(load, is_cut_short=True)) == []
        assert names(replace(load, judges_dropped=True)) == []

    def test_it_has_its_numbers(self) -> None:
        check = only(whole(planned=4000, dropped=1000))
        assert check.what == "1 000 of 4 000 planned iterations never started (25 %)"
        assert check.severity == "invalid"


def late(lateness_ms: float) -> Sample:
    return Sample(LATENESS, "", ORIGIN, round(lateness_ms * MS))


class TestLateIterations:
    @pytest.mark.parametrize(
        ("limit_ms", "quantile", "fires"),
        [(25, 0.95, True), (40, 0.95, True), (41, 0.95, False), (25, 0.5, False), (1, 0.5, False), (1, 0.95, True)],
    )
    def test_they_are_told_if_they_are_later_than_a_limit(self, limit_ms: float, quantile: float, fires: bool) -> None:
        """Half of them are late by 1 ms, half by 40."""
        limits = [ResponseLimit("p1 < 9s", 0.01, 9e9), ResponseLimit("the limit", quantile, limit_ms * MS)]
        load = whole(*map(late, [1, 40] * 50), response_limits=limits)
        assert names(load) == ["late-iterations"] * fires
        if fires:
            what = "the generator started iterations 40.0 ms late (p95 of 100 iterations), judged by 'the limit'"
            assert (only(load).what, only(load).severity) == (what, "unhealthy")

    def test_without_such_a_limit_or_a_plan_they_are_not(self) -> None:
        assert names(whole(*map(late, [100] * 50))) == []
        assert names(whole(request(), response_limits=[ResponseLimit("x", 0.95, 1.0)])) == []


class TestSaturation:
    @pytest.mark.parametrize(
        ("seconds", "busy", "fires"),
        [(0, 0, 0), (1, 0, 0), (1, 1, 1), (2, 1, 1), (10, 1, 1), (11, 1, 0), (20, 1, 0), (20, 2, 1), (3600, 359, 0)],
    )
    def test_a_tenth_of_the_seconds_may_not_be_busy(self, seconds: int, busy: int, fires: bool) -> None:
        assert names(signs(vital=vitals(seconds=seconds, busy=busy, cpu=0.5))) == ["generator-saturated"] * fires

    @pytest.mark.parametrize(
        ("lags_ms", "fires"),
        [
            ({}, False),
            ({0.1: 100}, False),
            ({0.1: 99, 5000.0: 1}, False),  # one hiccup
            ({0.1: 98, 51.0: 2}, True),
            ({0.1: 98, 49.0: 2}, False),
            ({0.1: 97, 51.0: 2}, False),  # too few to say so
            ({0.1: 1000, 60.0: 9}, False),
            ({0.1: 1000, 60.0: 11}, True),
            ({51.0: 19}, False),
            ({51.0: 20}, True),
            ({0.1: 18, 51.0: 2}, False),
            ({0.1: 17, 51.0: 3}, True),
        ],
    )
    def test_a_timer_that_comes_back_late_is_the_other_sign(self, lags_ms: dict[float, int], fires: bool) -> None:
        assert names(signs(vital=vitals(lags_ms=lags_ms, seconds=5, cpu=0.2))) == ["generator-saturated"] * fires

    @pytest.mark.parametrize(
        ("lags_ms", "fires"),
        [({0.1: 10, 11: 11}, True), ({0.1: 11, 11: 10}, False), ({0.1: 10, 9: 11}, False), ({0.1: 9, 11: 10}, False)],
    )
    def test_a_timer_that_is_late_half_of_the_time_need_not_be_so_late(
        self, lags_ms: dict[float, int], fires: bool
    ) -> None:
        load = signs(vital=vitals(lags_ms=lags_ms, judged_s=1, cpu=0.2))
        assert names(load) == ["generator-saturated"] * fires

    @pytest.mark.parametrize(
        ("cpu", "cores", "judged_s", "fires"),
        [
            (0.95, 1, 4.0, True),
            (0.89, 1, 4.0, False),
            (0.95, 1, 0.16, True),
            (0.95, 1, 0.04, False),  # too short to say so
            (0.95, 2, 4.0, False),
            (1.85, 2, 4.0, True),
            (0.46, 0.5, 4.0, True),  # two workers on one processor
        ],
    )
    def test_the_whole_of_the_judged_part_counts(self, cpu: float, cores: float, judged_s: float, fires: bool) -> None:
        all_readings = {0.1: round(judged_s * 20)}
        load = signs(vital=vitals(cpu=cpu, cores=cores, judged_s=judged_s, lags_ms=all_readings))
        assert names(load) == ["generator-saturated"] * fires
        if fires:
            assert only(load).what.startswith(f"this process used {cpu / cores * 100:.3g} % of its processor time")

    @pytest.mark.parametrize(("full_s", "fires"), [(0.07, False), (0.08, True)])
    def test_so_does_the_time_in_which_the_processor_was_full(self, full_s: float, fires: bool) -> None:
        load = signs(vital=vitals(cpu=0.6, judged_s=0.16, full_s=full_s))
        assert names(load) == ["generator-saturated"] * fires

    @pytest.mark.parametrize(
        ("judged_s", "readings", "fires"),
        [(4.0, 80, False), (4.0, 40, False), (4.0, 39, True), (4.0, 0, True), (1.0, 9, True), (0.9, 0, False)],
    )
    def test_readings_that_are_missing_are_a_sign(self, judged_s: float, readings: int, fires: bool) -> None:
        load = signs(vital=vitals(cpu=0.1, judged_s=judged_s, lags_ms={0.1: readings}))
        assert names(load) == ["generator-saturated"] * fires
        if fires:
            assert only(load).what == f"its timer fired {readings} times instead of {judged_s * 20:.0f}"

    @pytest.mark.parametrize(("late", "fires"), [(2, False), (3, True)])
    def test_in_less_than_a_second_half_of_few_readings_will_do(self, late: int, fires: bool) -> None:
        load = signs(vital=vitals(cpu=0.1, judged_s=0.2, lags_ms={0.1: 4 - late, 21.0: late}))
        assert names(load) == ["generator-saturated"] * fires

    def test_it_has_the_numbers_of_each_sign(self) -> None:
        both = vitals(seconds=1200, busy=1100, lags_ms={80.0: 120}, waited_ms=1500, cpu=0.95)
        check = only(signs(vital=both))
        assert check.what == (
            "this process used at least 90 % of its processor time in 1 100 of 1 200 seconds, timer lag "
            "80.0 ms (p99 of 120 readings), the monitoring thread waited 1.50 s for a processor"
        )
        assert check.severity == "saturated"
        assert check.advice == HEALTH_CHECKS["generator-saturated"].advice
        assert "p90 of 30 readings" in only(signs(vital=vitals(lags_ms={80.0: 30}, cpu=0.2))).what

    @pytest.mark.parametrize(
        ("cpu", "waited_ms", "others"),
        [(0.2, 9000, True), (0.2, 4000, False), (0.6, 9000, False), (0.2, None, False), (0.2, 0, False)],
    )
    def test_other_processes_are_blamed_where_the_load_was_idle_and_had_to_wait(
        self, cpu: float, waited_ms: int | None, others: bool
    ) -> None:
        check = only(signs(vital=vitals(seconds=10, lags_ms={100.0: 100}, waited_ms=waited_ms, cpu=cpu)))
        assert ("used by other processes" in check.what) is others
        assert ("Stop other work on this processor" in check.advice) is others
        assert ("the monitoring thread waited" in check.what) is (waited_ms is not None)

    @pytest.mark.parametrize(("users", "cpu", "is_told"), [(501, 0.95, True), (500, 0.95, False), (501, 0.2, False)])
    def test_many_users_in_one_process_had_better_be_spread_over_more(
        self, users: int, cpu: float, is_told: bool
    ) -> None:
        record = LoadRecord()
        record.users_started = users
        vital = vitals(seconds=10, busy=10, waited_ms=9000, lags_ms={100.0: 10}, cpu=cpu)
        check = only(signs(record=record, vital=vital))
        assert ("Spread the 501 users of this process over more workers (pytest -n), at most 500" in check.advice) is (
            is_told
        )


class TestUsers:
    def test_who_could_not_be_started(self) -> None:
        record = LoadRecord(shortage="only 3 of 5 users could be started: no thread; raise the limit, or use fewer")
        assert only(signs(record=record)).note == (
            "users-not-reached: only 3 of 5 users could be started: no thread. The target got less load than "
            "planned. Raise the limit, or use fewer"
        )

    def test_who_started_late(self) -> None:
        assert names(signs(record=LoadRecord(users_started=600, late_starts=1))) == []  # a part of the load
        check = only(whole(request(), users_started=1200, late_starts=1))
        assert check.note.startswith("late-starts: 1 of 1 200 users started more than 50 ms after their time. ")
        assert check.severity == "unhealthy"

    @pytest.mark.parametrize(
        ("count", "listed"), [(1, "user 0"), (3, "user 0; user 1; user 2"), (5, "user 0; user 1; user 2; and 2 more")]
    )
    def test_who_did_not_stop(self, count: int, listed: str) -> None:
        check = only(signs(record=LoadRecord(abandoned=[f"user {number}" for number in range(count)])))
        assert (check.name, check.what, check.severity) == ("unstoppable-users", listed, "unhealthy")


class TestSamples:
    @pytest.mark.parametrize(
        "name",
        [
            *("ports-exhausted", "files-exhausted", "source-not-local", "source-family-mismatch"),
            *("source-not-usable", "source-address"),
        ],
    )
    def test_each_fault_of_the_own_side_is_a_check_of_its_name(self, name: str) -> None:
        check = only(whole(fault(name, "it was so; do this"), fault(name, "and so"), request()))
        assert check.note == f"{name}: 2 times: it was so. {HEALTH_CHECKS[name].effect}. Do this"
        assert check.severity == "invalid"
        assert only(whole(fault(name, "x"))).what == "1 time: x"

    def test_names_beyond_the_limit(self) -> None:
        check = only(whole(*(request(f"GET /{number}") for number in range(MAX_NAMES + 3))))
        assert check.note.startswith("too-many-names: 3 samples are counted as '(other names)'. ")

    def test_percentiles_of_too_few(self) -> None:
        check = only(whole(uncertain=[("p95 < 20ms", 50), ("p99 < 1s", 1200)]))
        assert check.what == "judged on too few samples: 'p95 < 20ms' on 50, 'p99 < 1s' on 1 200"
        assert (check.name, check.severity) == ("too-few-samples", "remark")

    @pytest.mark.parametrize(("failed", "is_judged", "fires"), [(2, False, True), (0, False, False), (2, True, False)])
    def test_failed_iterations_that_nothing_judges(self, failed: int, is_judged: bool, fires: bool) -> None:
        samples = [iteration(outcome=FAILED)] * failed + [iteration(), request()]
        found = examine_whole(whole(*samples, judges_failed=is_judged))
        seen = f"2 of {failed + 1} iterations failed, and no threshold judges that"
        assert [(check.name, check.what, check.severity) for check in found] == [
            ("failures-not-judged", seen, "remark")
        ] * fires


class TestRemarks:
    def test_a_target_in_this_process(self) -> None:
        check = only(signs(own_ports=[8000]))
        assert check.what == "this process itself listens on port 8000, as Django's live_server does"
        assert "listens on ports 8000, 8001" in only(signs(own_ports=[8000, 8001])).what

    def test_a_load_that_was_not_pinned(self) -> None:
        assert only(signs(record=LoadRecord(pin_problem="it was not kept"))).what == "it was not kept"

    @pytest.mark.parametrize(("workers", "cpu", "fires"), [(1, 3, False), (2, 3, True), (2, None, False)])
    def test_a_cpu_for_several_workers(self, workers: int, cpu: int | None, fires: bool) -> None:
        load = signs(record=LoadRecord(pinned_cpu=cpu), workers_on_cpu=workers)
        assert [check.what for check in examine(load)] == ["the loads of 2 workers run on CPU 3"] * fires


def test_what_was_foreseen_is_among_them_and_the_gravest_come_first() -> None:
    load = signs(
        record=LoadRecord(pin_problem="x", shortage="y"),
        vital=vitals(seconds=1, busy=1, cpu=1.0),
        foreseen=[fired("bare-calls", "x"), fired("few-ports", "y")],
    )
    found = [*examine(load), *examine_whole(whole(fault("ports-exhausted", "x"), late_starts=1))]
    assert [check.name for check in by_gravity(found)] == [
        *("users-not-reached", "ports-exhausted", "generator-saturated"),
        *("bare-calls", "few-ports", "late-starts", "not-pinned"),
    ]
