"""The machine and the versions that something was measured with."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("pytest", "pytest-ipload", "pytest-xdist", "requests", "urllib3")


def environment() -> dict[str, Any]:
    """What was measured with: the machine and the versions."""
    processors = os.cpu_count()
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
        **({} if processors is None else {"processors": processors}),
        "packages": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def host_name() -> str:
    """The name of this machine."""
    return platform.node()


def host_key() -> str:
    """The same for processes that have the same addresses: the machine, and its network namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        network = os.readlink("/proc/self/ns/net")
    except OSError:  # not Linux
        boot = network = ""
    return "|".join((host_name(), boot, network))
