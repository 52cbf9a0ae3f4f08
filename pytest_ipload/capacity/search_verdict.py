"""The capacity by the rounds of a search, and the verdict against the promise. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from pytest_ipload.base.units import format_number
from pytest_ipload.capacity.capacity_result import (
    FAILED,
    GENERATOR,
    INVALID,
    PASSED,
    THRESHOLD,
    UNDECIDED,
    UP_TO,
    CapacityResult,
    LimitedBy,
    Verdict,
)
from pytest_ipload.capacity.round_evidence import RoundEvidence
from pytest_ipload.capacity.search_plan import CONFIRMING_LENGTH, CapacityPlan
from pytest_ipload.capacity.search_round import GENERATOR_LIMITED, CapacityRound


class Capacity(NamedTuple):
    """The numbers of a result."""

    rate: float | None
    low: float | None
    high: float | None
    limited_by: LimitedBy | None


def conclude_search(
    plan: CapacityPlan,
    evidence: RoundEvidence,
    rounds: Sequence[CapacityRound],
    confirmed: float | None,
    stopped: str | None,
) -> CapacityResult:
    """What a search found so far. ``confirmed`` is the level at which a longer round held."""
    found = _capacity(plan, evidence, rounds, confirmed)
    near = found.rate or found.high or plan.start
    threshold = evidence.limiting(near) if found.limited_by == THRESHOLD else None
    verdict = _verdict(plan, found, confirmed is not None)
    return CapacityResult(
        by=plan.by,
        rate=found.rate,
        low=found.low,
        high=found.high,
        limited_by=found.limited_by,
        threshold=threshold,
        verdict=verdict,
        reason=_reason(plan, found, threshold, rounds, is_confirmed=confirmed is not None, stopped=stopped),
        expressions=plan.expressions,
        at_least=plan.at_least,
        confirmed=confirmed is not None,
        stopped=stopped,
        rounds=tuple(rounds),
    )


def remarks_on(plan: CapacityPlan, found: CapacityResult) -> list[str]:
    """What a reader would not expect of the interval: that it is more than twice as wide as requested."""
    if found.limited_by != THRESHOLD or not found.low or found.high is None:
        return []
    share = math.sqrt(found.high / found.low) - 1
    if share <= 2 * plan.precision or plan.is_precise(found.low, found.high):
        return []
    half, wanted = (f"{format_number(each * 100)}" for each in (share, plan.precision))
    return [
        f"the interval is ±{half} %, wider than precision={wanted}%, as the rounds differ from each other; a longer "
        "step, or a smaller precision with more rounds, narrows it"
    ]


def _is_disturbed(rounds: Sequence[CapacityRound], high: float) -> bool:
    """Whether the generator failed as often as the target, at rates up to the upper end: then it may be behind all."""
    limited = sum(each.outcome.state == GENERATOR_LIMITED and each.request.level <= high for each in rounds)
    return 1 < limited >= sum(each.is_within is False for each in rounds)


def _capacity(
    plan: CapacityPlan, evidence: RoundEvidence, rounds: Sequence[CapacityRound], confirmed: float | None
) -> Capacity:
    """The rate and its interval, as far as the rounds bound it."""
    highest, lowest = evidence.highest_within, evidence.lowest_beyond
    if highest is None and lowest is None:
        return Capacity(None, None, None, None if evidence.ceiling is None else GENERATOR)
    low, middle, high = evidence.interval()
    if highest is None and lowest is not None:
        return Capacity(None, None, lowest - 1 if plan.is_by_users else lowest, THRESHOLD)
    held = plan.rounded_down(min(level for level in (low, highest, confirmed, plan.up_to) if level is not None))
    if evidence.is_beyond_generator:
        return Capacity(None, held, None, GENERATOR)
    if middle >= plan.up_to or (highest is not None and highest >= plan.up_to and lowest is None):
        return Capacity(plan.up_to, held, None, UP_TO)
    if lowest is None:
        return Capacity(None, held, None, None)
    if _is_disturbed(rounds, high):
        return Capacity(None, held, None, GENERATOR)
    if plan.remarks():  # the round that confirmed it was too short for a queue to show
        measured_s = plan.settle_s + plan.measured_s(held, CONFIRMING_LENGTH, is_near=True)
        held = plan.rounded_down(held / (1 + plan.longest_limit_s() / measured_s))
    rate = plan.rounded_down(middle)
    return Capacity(rate, min(held, rate), max(rate, plan.rounded_up(high)), THRESHOLD)


def _verdict(plan: CapacityPlan, found: Capacity, is_confirmed: bool) -> Verdict:
    """Against the promise. Nothing passes that no longer round has confirmed."""
    if found.limited_by == GENERATOR:
        return INVALID
    if plan.at_least is None:
        return PASSED if found.rate is not None else FAILED if found.limited_by == THRESHOLD else UNDECIDED
    if found.high is not None and found.high < plan.at_least:
        return FAILED
    is_kept = found.low is not None and found.low >= plan.at_least
    return PASSED if is_kept and is_confirmed else UNDECIDED


def _reason(
    plan: CapacityPlan,
    found: Capacity,
    threshold: str | None,
    rounds: Sequence[CapacityRound],
    *,
    is_confirmed: bool,
    stopped: str | None,
) -> str:
    if found.limited_by == GENERATOR:
        return _of_generator(plan, found, rounds)
    promise = "" if plan.at_least is None else f", at least {plan.format(plan.at_least)} promised"
    notes = [_interval(plan, found), f"{len(rounds)} round{'' if len(rounds) == 1 else 's'}"]
    if threshold is not None:
        notes.insert(1, f"limited by {threshold}")
    elif found.limited_by == UP_TO:
        notes.insert(1, f"not tried above up_to={plan.as_setting(plan.up_to)}")
    if stopped is not None:
        notes.append(f"stopped: {stopped}")
    elif not is_confirmed and found.rate is not None:
        notes.append("not confirmed: the longer rounds did not hold")
    return f"{_measured(plan, found)}{promise} ({', '.join(filter(None, notes))})"


def _measured(plan: CapacityPlan, found: Capacity) -> str:
    if found.rate is not None:
        or_more = " or more" if found.limited_by == UP_TO else ""
        return f"capacity {plan.format(found.rate)}{or_more}"
    if found.low is not None:
        return f"capacity unknown, above {plan.format(found.low)}"
    if found.high is not None:
        return f"capacity below {plan.format(found.high)}: no round held"
    return "capacity unknown"


def _interval(plan: CapacityPlan, found: Capacity) -> str:
    if found.rate is None or found.low is None:
        return ""
    if found.high is None:
        return f"95 % confident of {plan.format(found.low)}"
    low = plan.format(found.low).removesuffix("/s").split(" user")[0]
    return f"95 % CI {low}-{plan.format(found.high)}"


def _of_generator(plan: CapacityPlan, found: Capacity, rounds: Sequence[CapacityRound]) -> str:
    """Why there is no number, what is known all the same, and what to do."""
    limited = [each for each in rounds if each.outcome.state == GENERATOR_LIMITED]
    level = min(each.request.level for each in limited)
    why = next(each.outcome.reason for each in limited if each.request.level == level)
    text = f"capacity unknown: the generator was the limit at {plan.format(level)}" + (f" ({why})" if why else "")
    if found.low is None:
        return f"{text}; no round of the target was measured"
    text += f"; the expressions held up to {plan.format(found.low)}"
    if plan.at_least is not None and found.low >= plan.at_least:
        text += (
            f", which is the promise: to test no more than that, set up_to={plan.as_setting(found.low)}; to find the "
            "capacity, give the generator more"
        )
    return text
