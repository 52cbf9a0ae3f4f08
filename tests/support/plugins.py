"""Other plugins that may be installed where the tests run."""

OTHER_PLUGINS = (
    "anyio",
    "asyncio",
    "base_url",
    "check",
    "html",
    "html_fixtures",
    "hypothesispytest",
    "locust",
    "metadata",
    "pytest-bdd",
    "pytest_github_actions_annotate_failures",
    "randomly",
    "requests_mock",
    "rerunfailures",
    "run-parallel",
    "schemathesis",
    "time_machine",
    "timeout",
)
"""The runs of the tests do without them, unless a test is about one."""


def without_others(*but: str) -> str:
    """For ``PYTEST_ADDOPTS``: without the other plugins, but for those that a test is about.

    Each is a matter of a second in every process of a run. What all of them do together, test_coexistence.py tries.
    """
    return " ".join(f"-p no:{name}" for name in OTHER_PLUGINS if name not in but)
