"""Other plugins that may be installed where the tests run."""

OTHER_PLUGINS = (
    "anyio",
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
