"""Which load tests run together, and their order in the session."""

from __future__ import annotations

import json

import pytest

ORDER = """
    import json, pytest
    from pytest_ipload.plugin.items.groups import group_of, number_of
    from pytest_ipload.plugin.items.markers import is_load_test

    def pytest_collection_finish(session):
        found = []
        for item in session.items:
            group = group_of(item)
            found.append((item.name, group and group.name, number_of(item) if is_load_test(item) else None))
        open("found.json", "w").write(json.dumps(found))
"""
FILE = """
    import pytest

    @pytest.fixture
    def user(ipload_user):
        return ipload_user

    def test_first(user):
        pass

    @pytest.mark.ipload_together("shop")
    def test_shop_{n}(user):
        pass

    def test_ordinary():
        pass

    @pytest.mark.ipload_together("bank")
    class TestBank:
        def test_bank_{n}(self, user):
            pass

        @pytest.mark.ipload_together("shop")
        def test_nearest_{n}(self, user):
            pass

    @pytest.mark.ipload_together("shop")
    def test_more_{n}(user):
        pass

    @pytest.mark.ipload_together("only {n}")
    def test_only(user):
        pass
"""


def order(pytester: pytest.Pytester, *args: str) -> list[tuple[str, str | None, int | None]]:
    pytester.makeconftest(ORDER)
    pytester.makepyfile(**{f"test_{n}": FILE.format(n=n) for n in "ab"})
    pytester.runpytest("--collect-only", "-q", *args)
    return [(name, group, number) for name, group, number in json.loads((pytester.path / "found.json").read_text())]


def test_those_of_one_name_follow_each_other_file_by_file(pytester: pytest.Pytester) -> None:
    assert order(pytester) == [
        ("test_first", None, 0),
        ("test_shop_a", "shop", 1),
        ("test_nearest_a", "shop", 1),
        ("test_more_a", "shop", 1),
        ("test_shop_b", "shop", 1),
        ("test_nearest_b", "shop", 1),
        ("test_more_b", "shop", 1),
        ("test_ordinary", None, None),
        ("test_bank_a", "bank", 2),
        ("test_bank_b", "bank", 2),
        ("test_only", None, 3),
        ("test_first", None, 4),
        ("test_ordinary", None, None),
        ("test_only", None, 5),
    ]


def test_those_of_one_class_are_not_taken_apart(pytester: pytest.Pytester) -> None:
    """Another plugin has mixed them."""
    pytester.makepyfile(mixer="def pytest_collection_modifyitems(items): items[:] = items[::2] + items[1::2]")
    pytester.syspathinsert()
    found = order(pytester, "-p", "mixer")
    shop = [name for name, group, _ in found if group == "shop"]
    places = [place for place, (_, group, _) in enumerate(found) if group == "shop"]
    assert places == list(range(places[0], places[0] + 6))
    assert [name[-1] for name in shop] in (list("aaabbb"), list("bbbaaa"))


def test_what_is_not_selected_is_in_no_group(pytester: pytest.Pytester) -> None:
    assert order(pytester, "-k", "bank_a or only") == [
        ("test_bank_a", None, 0),
        ("test_only", None, 1),
        ("test_only", None, 2),
    ]
