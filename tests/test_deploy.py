"""The files in deploy/: as far as it can be said here, their systems accept them, and their commands work."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from support.parts import part_of
from support.plugins import without_others
from support.samples import iteration, request

from pytest_ipload.cli.main import FAILED, PASSED, main
from pytest_ipload.load.segment_variables import SYSTEMS, segment_of
from pytest_ipload.verdict.shard_result import as_shard

DEPLOY = Path(__file__).parents[1] / "deploy"
LOAD = """
    import os
    import pytest

    @pytest.mark.ipload(pacing="10ms")
    @pytest.mark.ipload_threshold("iteration.p95 < 5s")
    def test_shop(ipload_user, ipload_iteration):
        with ipload_user.measure("order"):
            if os.environ.get("DIES") and ipload_iteration.number == 2:
                os._exit(137)
"""


def closed(required: str = "", **properties: Any) -> dict[str, Any]:
    """The schema of an object with these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def items(schema: Mapping[str, Any], least: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": schema, "minItems": least}


def named(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": schema, "minProperties": 1}


TEXT, WHOLE = {"type": "string"}, {"type": "integer", "minimum": 0}
ANY: dict[str, Any] = {}
TEXTS = items(TEXT)
QUANTITIES = closed("cpu memory", cpu={"pattern": r"^\d+$"}, memory={"pattern": r"^\d+[MG]i$"})
CONTAINER = closed(
    "name image args env resources volumeMounts",
    name=TEXT,
    image=TEXT,
    args=TEXTS,
    env=items(closed("name value", name=TEXT, value=TEXT)),
    resources=closed("requests limits", requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts=items(closed("name mountPath", name=TEXT, mountPath=TEXT)),
)
POD = closed(
    "restartPolicy containers volumes",
    restartPolicy={"const": "Never"},
    securityContext=closed("runAsNonRoot", runAsNonRoot={"const": True}, runAsUser=WHOLE, fsGroup=WHOLE),
    topologySpreadConstraints=items(
        closed(
            "maxSkew topologyKey whenUnsatisfiable labelSelector",
            maxSkew=WHOLE,
            topologyKey=TEXT,
            whenUnsatisfiable={"enum": ["ScheduleAnyway", "DoNotSchedule"]},
            labelSelector=closed("matchLabels", matchLabels=named(TEXT)),
        )
    ),
    containers=items(CONTAINER),
    volumes=items(closed("name", name=TEXT, persistentVolumeClaim=closed("claimName", claimName=TEXT))),
)
METADATA = closed("name", name={"pattern": "^[a-z0-9-]{1,63}$"})
JOB = closed(
    "apiVersion kind metadata spec",
    apiVersion={"const": "batch/v1"},
    kind={"const": "Job"},
    metadata=METADATA,
    spec=closed(
        "template",
        completionMode={"const": "Indexed"},
        completions=WHOLE,
        parallelism=WHOLE,
        backoffLimit=WHOLE,
        backoffLimitPerIndex=WHOLE,
        maxFailedIndexes=WHOLE,
        activeDeadlineSeconds=WHOLE,
        ttlSecondsAfterFinished=WHOLE,
        template=closed("spec", metadata=closed("labels", labels=named(TEXT)), spec=POD),
    ),
)
CLAIM = closed(
    "apiVersion kind metadata spec",
    apiVersion={"const": "v1"},
    kind={"const": "PersistentVolumeClaim"},
    metadata=METADATA,
    spec=closed(
        "accessModes resources",
        accessModes=items({"const": "ReadWriteMany"}),
        resources=closed("requests", requests=named(TEXT)),
    ),
)
SERVICE = closed(
    "image command volumes", image=TEXT, command=TEXTS, volumes=TEXTS, cpus={"type": "number"}, environment=named(TEXT)
)
COMPOSE = {
    **closed("services volumes", services=named(SERVICE), volumes=named({"type": "null"})),
    "patternProperties": {"^x-": ANY},
}
STEP = {
    **closed("", id=TEXT, uses={"pattern": r"^actions/[a-z-]+@v\d+$"}, run=TEXT, env=named(TEXT), **{"if": TEXT}),
    "oneOf": [{"required": ["uses"]}, {"required": ["run"]}],
}
STEP["properties"]["with"] = named(ANY)
WORKFLOW = closed(
    "name on jobs",
    name=TEXT,
    on=ANY,
    jobs=named(
        closed(
            "runs-on steps",
            needs=TEXT,
            outputs=named(TEXT),
            steps=items(STEP),
            strategy=closed("matrix", matrix=named(items(ANY)), **{"fail-fast": {"type": "boolean"}}),
            **{"runs-on": TEXT, "timeout-minutes": WHOLE, "if": TEXT},
        )
    ),
)
GITLAB_JOB = closed(
    "stage image script",
    stage=TEXT,
    image=TEXT,
    script=TEXTS,
    parallel=WHOLE,
    timeout=TEXT,
    when={"enum": ["always", "on_success"]},
    artifacts=closed("", when={"enum": ["always"]}, paths=TEXTS, reports=named(TEXT)),
)
GITLAB = {**closed("stages", stages=TEXTS), "additionalProperties": GITLAB_JOB}


def manifests(name: str) -> list[Any]:
    return list(yaml.load_all((DEPLOY / name).read_text(), _Loader))


class _Loader(yaml.SafeLoader):
    """YAML 1.2, as GitHub reads it: 'on' is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool" or first not in "oO"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@pytest.mark.parametrize(
    ("name", "schemas"),
    [
        ("kubernetes.yaml", [CLAIM, JOB, JOB]),
        ("compose.yaml", [COMPOSE]),
        ("github.yml", [WORKFLOW]),
        ("gitlab.yml", [GITLAB]),
    ],
)
def test_the_files_have_the_form_that_their_systems_read(name: str, schemas: Sequence[Mapping[str, Any]]) -> None:
    for schema, document in zip(schemas, manifests(name), strict=True):
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(document)


def containers() -> Iterator[tuple[Any, dict[str, str], list[str]]]:
    """The Jobs of Kubernetes, with the variables and the command of their containers."""
    for job in manifests("kubernetes.yaml")[1:]:
        [container] = job["spec"]["template"]["spec"]["containers"]
        variables = {each["name"]: each["value"] for each in container["env"]}
        yield job, variables, [each.replace("$(RUN)", variables["RUN"]) for each in container["args"]]


def test_what_has_to_agree_agrees() -> None:
    claim, *_ = manifests("kubernetes.yaml")
    user = re.search(r"USER (\d+)", (DEPLOY / "Dockerfile").read_text())
    for job, _, _ in containers():
        pod = job["spec"]["template"]["spec"]
        [container], [volume] = pod["containers"], pod["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"]]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert user is not None
        assert pod["securityContext"]["runAsUser"] == int(user[1])
    (load, variables, _), (_, others, _) = containers()
    spec = load["spec"]
    assert spec["completions"] == spec["parallelism"] == int(variables["JOB_COMPLETIONS"])
    assert variables["RUN"] == others["RUN"]
    services = manifests("compose.yaml")[0]["services"]
    shares = [segment_of(service["environment"]) for service in services.values() if "environment" in service]
    assert [share.index for share in shares] == list(range(shares[0].count))
    jobs = manifests("github.yml")[0]["jobs"]
    assert jobs["load"]["strategy"]["matrix"]["segment"] == [0, 1, 2, 3]


def run_here(words: Sequence[str], results: Path) -> list[str]:
    """The same command on this machine, with a folder in the place of the volume."""
    first = {"pytest": [sys.executable, "-m", "pytest"], "python": [sys.executable]}[words[0]]
    return [*first, *(word.replace("/results", str(results)) for word in words[1:])]


def test_the_commands_of_kubernetes_with_a_pod_that_dies(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = pytester.mkdir("tests") / "load"
    tests.mkdir()
    pytester.makepyfile(test_shop=LOAD)
    (pytester.path / "test_shop.py").rename(tests / "test_shop.py")
    (_, variables, command), (_, _, merging) = containers()
    short = ["-q", "--ipload-users=8", "--ipload-duration=300ms"]
    pods = []
    for index in range(4):
        environ = {**os.environ, **variables, "JOB_COMPLETION_INDEX": str(index), "PYTEST_IPLOAD_STORE_POLL": "0.05"}
        environ |= {"PYTEST_ADDOPTS": f"-p no:cacheprovider -p no:xdist {without_others()}"}
        environ |= {"DIES": "1"} if index == 2 else {}
        words = [*run_here(command, pytester.path / "results"), *short]
        pods.append(subprocess.Popen(words, env=environ, cwd=pytester.path, stdout=subprocess.PIPE, text=True))
    outputs = [pod.communicate(timeout=120)[0] for pod in pods]
    assert [pod.returncode for pod in pods] == [0, 0, 137, 0], outputs
    words = run_here(merging, pytester.path / "results")[3:]
    capsys.readouterr()
    assert main([*words, "--wait=0s"]) == FAILED
    assert "missing: segment 2/4; the numbers are those of the others only" in capsys.readouterr().out
    assert (pytester.path / "results" / variables["RUN"] / "report" / "load.xml").exists()
    assert main([*words, "--wait=0s", "--min-segments=75%"]) == PASSED
    assert "6 users" in capsys.readouterr().out


def scripts() -> Iterator[tuple[str, dict[str, str], str]]:
    """The commands of the other files that are ours, with their variables."""
    for job in manifests("github.yml")[0]["jobs"].values():
        for step in job["steps"]:
            yield "github", step.get("env", {}), step.get("run", "")
    for job in manifests("gitlab.yml")[0].values():
        for line in job["script"] if isinstance(job, dict) else ():
            yield "gitlab", {"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "4"}, line
    for service in manifests("compose.yaml")[0]["services"].values():
        yield "compose", service.get("environment", {}), shlex.join(service["command"])


def test_the_commands_of_the_recipes_are_understood(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    part = part_of([request("GET /"), iteration()] * 10)
    main(["start-at", "3m"])
    start = capsys.readouterr().out.strip()
    seen = []
    for system, variables, script in scripts():
        words = shlex.split(script.replace("$START", start).replace("/results/", f"{pytester.path}/results/"))
        if words[:1] == ["pytest"]:
            with monkeypatch.context() as patch:
                for known in SYSTEMS:
                    patch.delenv(known.number, raising=False)
                for name, value in variables.items():
                    given = {"${{ strategy.job-index }}": "0", "${{ strategy.job-total }}": "4"}.get(value, value)
                    patch.setenv(name, given)
                config = pytester.parseconfigure(*words[2:])
                assert str(config.getoption("ipload_segment")).endswith("/4")
            seen.append((system, "load"))
        elif words[3:4] == ["merge"]:
            folder = Path(words[4])
            folder.mkdir(parents=True, exist_ok=True)
            plain = as_shard(part, 0, "segment 0/1").to_plain()
            report = {"schema": 1, "segment": {"index": 0, "count": 1}, "tests": [{"part": plain}]}
            (folder / "segment-0.json").write_text(json.dumps(report))
            seen.append((system, "merge"))
            assert main(words[3:]) == PASSED
    assert set(seen) == set(product(("compose", "github", "gitlab"), ("load", "merge")))
