"""``--ipload-segment=auto``: which segment a process runs, from the variables of the system that started it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pytest_ipload.load.partition import Partition

AUTO = "auto"
_LARGEST = 10**9


class _System(NamedTuple):
    """A system that starts several jobs alike, and tells each of them its number."""

    name: str
    number: str
    """The variable with the number of the job."""
    total: str
    """The variable with the number of jobs."""
    first: int = 0
    """The number of the first job."""
    advice: str = ""
    """Where the variables come from, if the system does not set them by itself."""


SYSTEMS = (
    _System(
        "a Kubernetes Indexed Job",
        "JOB_COMPLETION_INDEX",
        "JOB_COMPLETIONS",
        advice="Kubernetes sets the index only: give the container JOB_COMPLETIONS with the Job's 'completions'",
    ),
    _System(
        "a matrix of GitHub Actions",
        "STRATEGY_JOB_INDEX",
        "STRATEGY_JOB_TOTAL",
        advice="give the step both in its 'env', as ${{ strategy.job-index }} and ${{ strategy.job-total }}",
    ),
    _System("'parallel' of GitLab CI", "CI_NODE_INDEX", "CI_NODE_TOTAL", first=1, advice="the job needs 'parallel'"),
    _System("'parallelism' of CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL"),
    _System("a job array of Slurm", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    _System("an array job of AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
)
_SLURM = "SLURM_ARRAY_TASK_ID"
_SLURM_FIRST, _SLURM_LAST, _SLURM_STEP = "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP"


def segment_of(environ: Mapping[str, str]) -> Partition:
    """The segment that these variables name. ``ValueError`` if none do, or if they contradict each other."""
    found = {system: _read(system, environ) for system in SYSTEMS if system.number in environ}
    if not found:
        known = ", ".join(f"{system.number} and {system.total}" for system in SYSTEMS)
        raise ValueError(
            f"none of the variables is set that name a segment ({known}); set them, or give the segment, as in 0/4"
        )
    if len(set(found.values())) > 1:
        listed = " and ".join(
            f"{system.number} of {system.name} says {share.index}/{share.count}" for system, share in found.items()
        )
        raise ValueError(f"{listed}; unset one of them, or give the segment, as in 0/4")
    return next(iter(found.values()))


def _read(system: _System, environ: Mapping[str, str]) -> Partition:
    if not environ.get(system.total):
        advice = f": {system.advice}" if system.advice else ""
        raise ValueError(f"{system.number} of {system.name} is set, but {system.total} is not{advice}")
    index, count = _number(system.number, environ), _number(system.total, environ)
    first, step = system.first, 1
    if system.number == _SLURM:
        first = _number(_SLURM_FIRST, environ) if _SLURM_FIRST in environ else first
        step = max(1, _number(_SLURM_STEP, environ)) if _SLURM_STEP in environ else step
        if _SLURM_LAST in environ and (last := _number(_SLURM_LAST, environ)) != first + (count - 1) * step:
            raise ValueError(
                f"{system.name} of {count} tasks from {first} to {last} has gaps; number them as in 0-{count - 1}"
            )
    place, rest = divmod(index - first, step)
    if rest or not 0 <= place < count:
        last = first + (count - 1) * step
        steps = f" in steps of {step}" if step > 1 else ""
        raise ValueError(
            f"{system.number}={index} and {system.total}={count} contradict each other: {system.name} counts from "
            f"{first} to {last}{steps}"
        )
    return Partition(place, count)


def _number(variable: str, environ: Mapping[str, str]) -> int:
    text = environ[variable].strip()
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) > _LARGEST:
        raise ValueError(f"{variable}={text!r:.80} is not a whole number from 0")
    return int(text)
