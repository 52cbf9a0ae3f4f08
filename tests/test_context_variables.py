"""Context variables: what shared fixtures set is there for every user, and each user has a context of its own."""

from __future__ import annotations

import pytest

CONFTEST = """
    import contextvars, decimal, pytest

    SHARED = contextvars.ContextVar("SHARED", default="nothing")
    CALL = contextvars.ContextVar("CALL", default="nothing")
    OWN = contextvars.ContextVar("OWN", default=0)

    @pytest.fixture(scope="session")
    def everywhere():
        token = SHARED.set("session")
        yield
        SHARED.reset(token)

    @pytest.fixture
    def precise():
        with decimal.localcontext() as context:
            context.prec = 7
            yield

    @pytest.fixture
    def own(request, ipload_user, everywhere):
        assert SHARED.get() == "session"
        assert CALL.get() == ("call" if "later" in request.node.name and ipload_user.index else "nothing")
        token = OWN.set(100 * ipload_user.index)
        yield
        assert OWN.get() > 100 * ipload_user.index
        OWN.reset(token)
        assert OWN.get() == 0

    @pytest.hookimpl(tryfirst=True, wrapper=True)
    def pytest_runtest_call(item):
        token = CALL.set("call")
        try:
            return (yield)
        finally:
            CALL.reset(token)
"""


@pytest.mark.parametrize("options", [(), ("--ipload-disable",), ("-n2",)])
def test_each_user_has_a_copy_of_what_shared_fixtures_and_plugins_set(
    pytester: pytest.Pytester, xdist: None, options: tuple[str, ...]
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import decimal, pytest
        from conftest import CALL, OWN, SHARED

        @pytest.mark.ipload(users=4, iterations=3)
        def test_users(precise, own, ipload_user):
            assert (SHARED.get(), CALL.get()) == ("session", "call")
            assert OWN.get() == 100 * ipload_user.index + ipload_user.iteration
            OWN.set(OWN.get() + 1)
            decimal.getcontext().prec += 1
            assert decimal.getcontext().prec == 8 + ipload_user.iteration

        @pytest.mark.ipload(
            users=2, duration="100ms", ramp_up="50ms", set_up="on-arrival",
            suppress_health_check=["users-not-reached"],  # a busy machine
        )
        def test_users_who_come_later(own):
            assert (SHARED.get(), CALL.get()) == ("session", "call")
            OWN.set(OWN.get() + 1)

        def test_run(everywhere, precise, ipload):
            def body(user):
                assert (SHARED.get(), CALL.get(), OWN.get()) == ("session", "call", user.iteration)
                assert decimal.getcontext().prec == 7
                OWN.set(OWN.get() + 1)

            assert ipload.run(body, users=3, iterations=2).failed_iterations == 0
            assert OWN.get() == 0
        """
    )
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=3)
