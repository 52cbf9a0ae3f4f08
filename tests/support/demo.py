"""The examples' demo target, for tests: the examples are no installed package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

EXAMPLES = Path(__file__).parents[2] / "examples"

if TYPE_CHECKING:
    from examples import demo_target
else:
    _spec = importlib.util.spec_from_file_location("demo_target", EXAMPLES / "demo_target.py")
    demo_target = sys.modules["demo_target"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(demo_target)

Target = demo_target.Target
running_target = demo_target.running_target

__all__ = ["EXAMPLES", "Target", "demo_target", "running_target"]
