from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.searches import (
    EXPRESSION,
    Clock,
    Searched,
    holds_up_to,
    outcome,
    plan,
    run_search,
    users_plan,
)

from pytest_ipload.capacity.search import CapacitySearch
from pytest_ipload.capacity.search_plan import CapacityPlan
from pytest_ipload.capacity.search_round import (
    BISECTION,
    CONFIRMING,
    DOUBLING,
    FAILS,
    GENERATOR_LIMITED,
    HOLDS,
    LONGER,
    STATES,
    UNDECIDED,
    Rest,
    RoundOutcome,
    RoundRequest,
)


class TestTheWay:
    @pytest.mark.parametrize("capacity", [51, 137.5, 412, 799, 1600.1])
    def test_it_doubles_bisects_and_confirms(self, capacity: float) -> None:
        searched = run_search(plan(), holds_up_to(capacity))
        result, doublings = searched.search.result(), searched.kinds.count(DOUBLING)
        assert searched.kinds == [DOUBLING] * doublings + [BISECTION] * (len(searched.kinds) - doublings - 1) + [
            CONFIRMING
        ]
        assert searched.levels[:doublings] == [min(50 * 2**number, 2000) for number in range(doublings)]
        assert searched.levels[doublings - 2] <= capacity < searched.levels[doublings - 1]
        assert (result.low or 0) <= capacity <= (result.high or 0)
        assert result.rate == pytest.approx(capacity, rel=0.05)
        assert (result.low, result.confirmed) == (searched.levels[-1], True)
        assert (result.limited_by, result.threshold, result.verdict) == ("threshold", EXPRESSION, "passed")

    def test_it_goes_down_if_the_start_fails_already(self) -> None:
        searched = run_search(plan(), holds_up_to(9))
        assert searched.levels[:4] == [50, 25, 12.5, 6.25]
        assert searched.search.result().rate == pytest.approx(9, rel=0.05)

    def test_it_gives_up_where_nothing_holds(self) -> None:
        searched = run_search(plan(at_least=50), lambda request: outcome(FAILS))
        result = searched.search.result()
        assert searched.levels[-1] == pytest.approx(50 / 256, rel=1e-3)  # lower, a round has hardly an iteration
        assert (result.rate, result.low, result.verdict) == (None, None, "failed")
        assert result.high == searched.levels[-1]

    def test_the_first_undecided_round_is_repeated_and_all_that_follow_are_longer(self) -> None:
        def answer(request: RoundRequest) -> RoundOutcome:
            near = 350 < request.level < 480
            return outcome(UNDECIDED, within=request.level < 412) if near else holds_up_to(412)(request)

        searched = run_search(plan(), answer)
        first = searched.kinds.index(LONGER)
        assert searched.kinds.count(LONGER) == 1
        assert searched.levels[first - 1] == searched.levels[first]
        assert [request.measured_s for request in searched.requests[first - 1 : first + 2]] == [10, 20, 20]
        assert searched.search.result().rate == pytest.approx(412, rel=0.05)

    def test_an_undecided_round_within_the_limits_does_not_hold_up_the_doubling(self) -> None:
        def answer(request: RoundRequest) -> RoundOutcome:
            return outcome(UNDECIDED, within=True) if request.level < 150 else holds_up_to(412)(request)

        assert run_search(plan(), answer).levels[:5] == [50, 100, 200, 400, 800]

    def test_a_longer_round_that_holds_lets_the_doubling_go_on(self) -> None:
        def answer(request: RoundRequest) -> RoundOutcome:
            return outcome(UNDECIDED, within=False) if request.number == 2 else holds_up_to(412)(request)

        searched = run_search(plan(), answer)
        assert list(zip(searched.kinds, searched.levels, strict=True))[:5] == [
            (DOUBLING, 50),
            (DOUBLING, 100),
            (LONGER, 100),
            (DOUBLING, 200),
            (DOUBLING, 400),
        ]

    def test_a_single_mishap_does_not_lead_it_astray(self) -> None:
        """A round at 100/s fails, although the target can serve 412/s."""

        def answer(request: RoundRequest) -> RoundOutcome:
            return outcome(FAILS) if request.number == 2 else holds_up_to(412)(request)

        result = run_search(plan(max_rounds=40, precision="2%"), answer).search.result()
        assert (result.low or 0) <= 412 <= (result.high or math.inf)

    def test_settle_time_comes_first_and_does_not_count(self) -> None:
        request = run_search(plan(settle="4s"), holds_up_to(412)).requests[3]
        assert (request.settle_s, request.measured_s, request.duration_s) == (4, 10, 14)

    def test_the_same_round_is_asked_for_until_it_is_recorded(self) -> None:
        search = CapacitySearch(plan())
        with pytest.raises(ValueError, match="there is no round to record"):
            search.record(outcome(HOLDS))
        assert search.next_round() is search.next_round()
        search.record(outcome(HOLDS))
        assert (following := search.next_round()) is not None
        assert following.number == 2


class TestConfirming:
    def test_a_confirming_round_is_longer_and_at_the_lower_end(self) -> None:
        *_, last = run_search(plan(), holds_up_to(412)).requests
        assert (last.kind, last.measured_s) == (CONFIRMING, 30)
        assert 350 < last.level < 412

    def test_one_that_fails_is_evidence_and_the_search_goes_on(self) -> None:
        def answer(request: RoundRequest) -> RoundOutcome:
            first = request.kind == CONFIRMING and CONFIRMING not in seen
            seen.append(request.kind)
            return outcome(FAILS) if first else holds_up_to(412, 0.05, request.number)(request)

        seen: list[str] = []
        searched = run_search(plan(), answer)
        first, second = (request for request in searched.requests if request.kind == CONFIRMING)
        assert second.number == first.number + 3
        assert searched.search.result().confirmed

    def test_short_rounds_that_long_ones_contradict_do_not_count(self) -> None:
        """It serves 412/s for a while, and 300/s for long."""

        def answer(request: RoundRequest) -> RoundOutcome:
            return holds_up_to(300 if request.measured_s >= 30 else 412)(request)

        searched = run_search(plan(max_rounds=40), answer)
        result = searched.search.result()
        assert (result.low or 0) <= 300 <= (result.high or 0)
        assert result.confirmed
        assert all(request.measured_s == 30 for request in searched.requests[-5:])

    def test_without_confirmation_nothing_passes(self) -> None:
        def answer(request: RoundRequest) -> RoundOutcome:
            return outcome(FAILS) if request.kind == CONFIRMING else holds_up_to(412)(request)

        searched = run_search(plan(at_least=50), answer)
        result = searched.search.result()
        assert searched.kinds.count(CONFIRMING) == 3
        assert (result.confirmed, result.verdict) == (False, "undecided")


class TestLimits:
    @pytest.mark.parametrize("keys", [{"up_to": "300/s"}, {"max_rate": 300.0}])
    def test_nothing_is_tried_above_the_end(self, keys: dict[str, object]) -> None:
        searched = run_search(plan(at_least="300/s", **keys), holds_up_to(1e9))
        result = searched.search.result()
        assert searched.levels == [50, 100, 200, 300, 300, 300]
        assert searched.kinds[-1] == CONFIRMING
        assert (result.rate, result.low, result.high) == (300, 300, None)
        assert (result.limited_by, result.threshold, result.verdict) == ("up_to", None, "passed")

    def test_a_generator_that_is_the_limit_makes_it_invalid_and_never_a_number(self) -> None:
        def answer(request: RoundRequest) -> RoundOutcome:
            return outcome(GENERATOR_LIMITED, reason="too busy") if request.level > 700 else outcome(HOLDS)

        searched = run_search(plan(at_least="300/s"), answer)
        result = searched.search.result()
        assert (result.rate, result.high, result.limited_by, result.verdict) == (None, None, "generator", "invalid")
        assert 300 <= (result.low or 0) <= 700
        assert "too busy" in result.reason
        assert "set up_to=" in result.reason
        assert len(searched.requests) <= 14

    def test_a_generator_that_stumbles_once_is_not_the_limit(self) -> None:
        def answer(request: RoundRequest) -> RoundOutcome:
            return outcome(GENERATOR_LIMITED) if request.number in (3, 8) else holds_up_to(412)(request)

        searched = run_search(plan(), answer)
        assert (searched.levels[2], searched.levels[7]) == (searched.levels[3], searched.levels[8])
        assert searched.search.result().limited_by == "threshold"

    def test_a_capacity_below_the_limit_of_the_generator_is_found(self) -> None:
        def answer(request: RoundRequest) -> RoundOutcome:
            return outcome(GENERATOR_LIMITED) if request.level > 700 else holds_up_to(500)(request)

        result = run_search(plan(), answer).search.result()
        assert (result.limited_by, result.verdict) == ("threshold", "passed")
        assert (result.low or 0) <= 500 <= (result.high or 0)

    def test_what_the_generator_cannot_do_is_not_tried_again(self) -> None:
        """The target has no limit, but a round has a mishap."""

        def answer(request: RoundRequest) -> RoundOutcome:
            if request.level > 700:
                return outcome(GENERATOR_LIMITED)
            return outcome(FAILS if request.number == 8 else HOLDS)

        searched = run_search(plan(), answer)
        assert searched.levels[4:6] == [800, 800]
        assert max(searched.levels[6:]) < 800
        assert searched.search.result().verdict == "invalid"

    def test_a_generator_that_cannot_even_start_has_measured_nothing(self) -> None:
        result = run_search(plan(), lambda request: outcome(GENERATOR_LIMITED)).search.result()
        assert (result.rate, result.low, result.verdict, len(result.rounds)) == (None, None, "invalid", 2)

    def test_rounds_are_limited(self) -> None:
        searched = run_search(plan(max_rounds=7), holds_up_to(412))
        assert len(searched.requests) == 7
        assert searched.kinds[-1] == CONFIRMING  # which is what the last one is for
        searched = run_search(plan(max_rounds=3), holds_up_to(412))
        result = searched.search.result()
        assert result.stopped == "after 3 rounds, the maximum (max_rounds)"
        assert (result.rate, result.low, result.limited_by, result.verdict) == (None, 200, None, "undecided")

    @pytest.mark.parametrize("late", [1.0, 3.0, 10.0])
    def test_time_is_limited(self, late: float) -> None:
        """No round starts that may not end in time by its plan, however late the earlier ones were."""
        clock, started = Clock(), []

        def answer(request: RoundRequest) -> RoundOutcome:
            rest_s = 0.0 if request.rest is None else request.rest.longest_s
            started.append(clock.now - late * request.duration_s + request.duration_s + rest_s)
            return holds_up_to(412)(request)

        searched = run_search(plan(max_time="150s"), answer, clock, late)
        assert max(started) <= 1150
        assert len(searched.requests) < 11
        assert (late == 1) == searched.search.result().confirmed  # time is kept for the confirming round

    def test_what_is_known_so_far(self) -> None:
        search = CapacitySearch(plan(at_least="1000/s"))
        assert (search.result().rate, search.result().verdict) == (None, "undecided")
        for level, state in ((50, HOLDS), (100, HOLDS), (200, FAILS), (143.2, FAILS)):
            request = search.next_round()
            assert request is not None
            assert request.level == level
            search.record(outcome(state))
        search.stop("interrupted")
        search.stop("and again")
        result = search.result()
        assert search.next_round() is None
        assert (result.stopped, result.verdict, result.confirmed) == ("interrupted", "failed", False)
        assert 50 < (result.low or 0) <= (result.rate or 0) <= (result.high or 0) < 200

    def test_below_the_limit_of_the_generator_no_level_is_tried_again_and_again(self) -> None:
        def answer(request: RoundRequest) -> RoundOutcome:
            return outcome(FAILS if request.level >= 50 else GENERATOR_LIMITED)

        levels = run_search(plan(), answer).levels
        assert levels[:5] == [50, 25, 25, 12.5, 12.5]
        assert all(levels.count(level) <= 2 for level in levels)


class TestRest:
    def test_where_nothing_held_a_trickle_shows_within_a_step_whether_the_target_is_back(self) -> None:
        rests = [each.rest for each in run_search(plan(), lambda request: outcome(FAILS)).requests[1:]]
        assert set(rests) == {Rest(0.5, None, 30)}

    def test_it_follows_rounds_that_did_not_hold(self) -> None:
        def answer(request: RoundRequest) -> RoundOutcome:
            return outcome(FAILS if request.level > 412 else HOLDS, p50_ms=request.level / 10)

        searched = run_search(plan(), answer)
        for request, done in itertools.pairwise(searched.search.rounds):
            expected = None if request.outcome.state == HOLDS else Rest(50, 5 * 1.5 + 1, 30)
            assert done.request.rest == expected

    @pytest.mark.parametrize(
        ("limit", "median", "failed", "is_over"),
        [
            (10, 9, 0, True),
            (10, 11, 0, False),
            (10, 9, 1, False),
            (10, None, 0, False),
            (None, 99, 0, True),
            (None, None, 3, False),
        ],
    )
    def test_it_ends_when_latencies_are_back(
        self, limit: float | None, median: float | None, failed: int, is_over: bool
    ) -> None:
        assert Rest(50, limit, 30).is_over(median, failed) == is_over


class TestUsers:
    @pytest.mark.parametrize("capacity", [1, 2, 7, 40])
    def test_whole_numbers_of_users_are_found(self, capacity: int) -> None:
        searched = run_search(users_plan(), holds_up_to(capacity))
        result = searched.search.result()
        assert all(request.users == request.level and request.rate is None for request in searched.requests)
        assert result.rate == pytest.approx(capacity, rel=0.05)
        assert (result.low or 0) <= capacity <= (result.high or 0)

    def test_not_even_one(self) -> None:
        result = run_search(users_plan(at_least=1), holds_up_to(0.5)).search.result()
        assert (result.rate, result.low, result.high, result.verdict) == (None, None, 0, "failed")


def check_bounds(searched: Searched, its_plan: CapacityPlan) -> None:
    """What is true of any search."""
    result = searched.search.result()
    assert [request.number for request in searched.requests] == list(range(1, len(searched.requests) + 1))
    assert len(searched.requests) <= its_plan.max_rounds
    assert sum(request.duration_s for request in searched.requests) <= its_plan.longest()
    assert all(0 < request.level <= its_plan.up_to for request in searched.requests)
    ends = [end for end in (result.low, result.rate, result.high) if end is not None]
    assert ends == sorted(ends)
    assert (result.rate is None) or (result.low is not None)
    assert (result.verdict == "invalid") == (result.limited_by == "generator")


@settings(max_examples=30)
@given(
    states=st.lists(st.sampled_from(STATES), min_size=1, max_size=40),
    by=st.sampled_from(["rate", "users"]),
    at_least=st.sampled_from([None, 1, 30, 64]),
    rounds=st.integers(3, 30),
    within=st.sampled_from([True, False, None]),
)
def test_any_search_ends_within_its_bounds(
    states: list[str], by: str, at_least: int | None, rounds: int, within: bool | None
) -> None:
    its_plan = plan(by=by, start=4, up_to=64, at_least=at_least, max_rounds=rounds)
    answers = itertools.cycle(states)
    searched = run_search(its_plan, lambda request: RoundOutcome(state=next(answers), within=within))  # type: ignore[arg-type]
    check_bounds(searched, its_plan)


@settings(max_examples=20)
@given(st.floats(0.2, 1800), st.sampled_from(["5%", "10%"]))
def test_the_capacity_of_any_target_without_noise_is_found(capacity: float, precision: str) -> None:
    its_plan = plan(precision=precision)
    searched = run_search(its_plan, holds_up_to(capacity))
    check_bounds(searched, its_plan)
    result = searched.search.result()
    assert (result.low or 0) <= capacity <= (result.high or 0)
    assert result.rate == pytest.approx(capacity, rel=its_plan.precision)
