"""Fixtures for tests in which something happens in one phase: each tells the function ``reached`` of its module."""

from __future__ import annotations

FIXTURES = """
@pytest.fixture
def shared():
    reached("set-up of a fixture")
    yield
    reached("tear-down of a fixture")

@pytest.fixture
def visitor(ipload_user):
    reached("set-up of a user")
    yield ipload_user
"""
