"""Which segment a process runs, from the variables of the system that started it."""

from __future__ import annotations

import pytest

from pytest_ipload.load.partition import Partition
from pytest_ipload.load.segment_variables import segment_of

SLURM = {"SLURM_ARRAY_TASK_MIN": "10", "SLURM_ARRAY_TASK_STEP": "5", "SLURM_ARRAY_TASK_COUNT": "3"}


@pytest.mark.parametrize(
    ("variables", "index", "count"),
    [
        ({"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "4"}, 0, 4),
        ({"JOB_COMPLETION_INDEX": "3", "JOB_COMPLETIONS": "4"}, 3, 4),
        ({"STRATEGY_JOB_INDEX": "1", "STRATEGY_JOB_TOTAL": "2"}, 1, 2),
        ({"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "4"}, 0, 4),  # GitLab counts from 1
        ({"CI_NODE_INDEX": "4", "CI_NODE_TOTAL": "4"}, 3, 4),
        ({"CIRCLE_NODE_INDEX": "0", "CIRCLE_NODE_TOTAL": "1"}, 0, 1),
        ({"SLURM_ARRAY_TASK_ID": "15", **SLURM}, 1, 3),
        ({"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}, 2, 3),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "7", "AWS_BATCH_JOB_ARRAY_SIZE": "8"}, 7, 8),
        # A job of GitLab without 'parallel' has a total; a pod of its runner may be a Job's, too.
        ({"CI_NODE_TOTAL": "1", "JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "2"}, 1, 2),
        ({"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "2", "JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "2"}, 1, 2),
    ],
)
def test_the_variables_of_each_system(variables: dict[str, str], index: int, count: int) -> None:
    assert segment_of({"PATH": "/bin", **variables}) == Partition(index, count)


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({}, "none of the variables is set that name a segment (JOB_COMPLETION_INDEX and JOB_COMPLETIONS, "),
        (
            {"JOB_COMPLETION_INDEX": "0"},
            "JOB_COMPLETION_INDEX of a Kubernetes Indexed Job is set, but JOB_COMPLETIONS is not: Kubernetes sets",
        ),
        ({"CIRCLE_NODE_INDEX": "0"}, "is set, but CIRCLE_NODE_TOTAL is not"),
        ({"STRATEGY_JOB_INDEX": "", "STRATEGY_JOB_TOTAL": "2"}, "STRATEGY_JOB_INDEX='' is not a whole number from 0"),
        (
            {"CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "4"},
            "CI_NODE_INDEX=0 and CI_NODE_TOTAL=4 contradict each other: 'parallel' of GitLab CI counts from 1 to 4",
        ),
        ({"JOB_COMPLETION_INDEX": "4", "JOB_COMPLETIONS": "4"}, "counts from 0 to 3"),
        ({"SLURM_ARRAY_TASK_ID": "16", **SLURM}, "a job array of Slurm counts from 10 to 20 in steps of 5"),
        (
            {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MAX": "7"},
            "a job array of Slurm of 3 tasks from 0 to 7 has gaps; number them as in 0-2",
        ),
        ({"JOB_COMPLETION_INDEX": "x", "JOB_COMPLETIONS": "4"}, "JOB_COMPLETION_INDEX='x' is not a whole number"),
        (
            {"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "2", "JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "2"},
            "JOB_COMPLETION_INDEX of a Kubernetes Indexed Job says 1/2 and CI_NODE_INDEX of 'parallel' of GitLab CI "
            "says 0/2; unset one of them",
        ),
    ],
)
def test_what_is_missing_or_contradictory_is_named(variables: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError) as refused:
        segment_of(variables)
    assert complaint in str(refused.value)
