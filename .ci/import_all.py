"""Imports every module of the installed package."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import pytest_ipload

names = [module.name for module in pkgutil.walk_packages(pytest_ipload.__path__, "pytest_ipload.")]
for name in names:
    importlib.import_module(name)
print(f"Python {sys.version.split()[0]}: {len(names)} modules can be imported")
