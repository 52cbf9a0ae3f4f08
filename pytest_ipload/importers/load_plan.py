"""From exchanges to a load test: captures, secrets, think times and what has to be said about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_ipload.importers.correlation import Correlation
from pytest_ipload.importers.exchanges import Exchange
from pytest_ipload.importers.path_names import label_of
from pytest_ipload.importers.recording import ImportOptions, Recording, Scenario, Step
from pytest_ipload.importers.secret_values import SecretValues

_SHORTEST_PAUSE_S = 0.5


def recording_of(
    source: str, base_url: str, exchanges: Sequence[Exchange], notes: list[str], options: ImportOptions
) -> tuple[Recording, list[str]]:
    """The load test of a recording, and the secrets that must not be in its text."""
    correlation = Correlation(exchanges, options)
    steps = correlation.steps()
    cookies = [pair for exchange in exchanges for pair in exchange.cookies]
    cookies += [pair for exchange in exchanges for reply in exchange.replies for pair in reply.cookies()]
    secrets = SecretValues(options, cookies)
    steps = [replace(step, pause_s=pause) for step, pause in zip(secrets.steps(steps), _pauses(exchanges), strict=True)]
    # Some browsers leave cookies out of what they export; pages have them most often.
    is_visit = any(exchange.is_page or reply.cookies() for exchange in exchanges for reply in exchange.replies)
    scenario = Scenario(options.name, tuple(steps), new_visitor=is_visit)
    used = {reference.name for step in steps for reference in step.references() if reference.secret}
    variables = {name: what for name, what in secrets.variables.items() if name in used}
    found = Recording(
        source, options.base_url or base_url, [scenario], variables, [*notes, *_missed(correlation, steps)]
    )
    return found, secrets.texts()


def _missed(correlation: Correlation, steps: Sequence[Step]) -> list[str]:
    """What comes from a reply and could not be captured."""
    notes = []
    for (index, place), other_could in correlation.missed.items():
        what = "a part of its path" if place.kind == "path" else f"{place.kind} {place.key}".rstrip()
        notes.append(
            f"{label_of(steps[index])}: {what} comes from an earlier reply, but "
            + (
                "scenario files cannot take it from there; --as python can"
                if other_could
                else "nothing beside it tells where; take it from there yourself"
            )
        )
    return notes


def _pauses(exchanges: Sequence[Exchange]) -> list[float]:
    """Think times: from the end of what came before a page to its start, in seconds."""
    pauses = []
    ended: float | None = None
    for exchange in exchanges:
        pause = 0.0
        if exchange.is_page and exchange.started_s is not None and ended is not None:
            pause = exchange.started_s - ended
        pauses.append(round(min(pause, 3600), 1) if pause >= _SHORTEST_PAUSE_S else 0.0)
        if exchange.ended_s is not None:
            ended = exchange.ended_s if ended is None else max(ended, exchange.ended_s)
    return pauses
