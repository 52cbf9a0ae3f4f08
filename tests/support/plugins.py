"""Other plugins that may be installed where the tests run."""

OTHER_PLUGINS = (
    "anyio",
    "base_url",
    "html",
    "html_fixtures",
    "hypothesispytest",
    "locust",
    "metadata",
    "pytest_github_actions_annotate_failures",
    "randomly",
    "rerunfailures",
    "timeout",
)
"""The runs of the tests do without them, unless a test is about one."""
