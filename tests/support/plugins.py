"""Other plugins that may be installed where the tests run."""

OTHER_PLUGINS = ("anyio", "base_url", "hypothesispytest", "locust", "randomly", "rerunfailures", "timeout")
"""The runs of the tests do without them, unless a test is about one."""
