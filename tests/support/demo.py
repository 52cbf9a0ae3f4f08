"""The examples' servers, for tests: the examples are no installed package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

EXAMPLES = Path(__file__).parents[2] / "examples"

if TYPE_CHECKING:
    from examples import demo_target, stream_server
else:

    def _loaded(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    demo_target, stream_server = _loaded("demo_target"), _loaded("stream_server")

Target = demo_target.Target
running_target = demo_target.running_target
running_stream_server = stream_server.running_stream_server

__all__ = ["EXAMPLES", "Target", "demo_target", "running_stream_server", "running_target"]
