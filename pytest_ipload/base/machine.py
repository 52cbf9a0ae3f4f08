"""What a load was generated with, as far as it matters for the numbers."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from dataclasses import dataclass, fields
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """A kind of machine and Python. Runs of two that differ are not compared. It names no host: CI has many alike."""

    system: str
    """``Linux``."""
    architecture: str
    """``x86_64``."""
    processor: str
    """Its model, as the system names it; the architecture, where it does not."""
    processors: int
    """Logical ones."""
    implementation: str
    """``CPython``."""
    python: str
    """Major and minor version, with a ``t`` where threads are free: ``3.14t``."""

    @property
    def folder(self) -> str:
        """The name of the folder for its saved runs: ``Linux-x86_64-CPython-3.12``."""
        return "-".join((self.system, self.architecture, self.implementation, self.python))

    def differences(self, here: Machine) -> list[str]:
        """Where the two differ: ``processors 4, here 8``."""
        pairs = ((field.name, getattr(self, field.name), getattr(here, field.name)) for field in fields(self))
        return [f"{name} {own}, here {other}" for name, own, other in pairs if own != other]


def this_machine() -> Machine:
    """The machine and the Python of this process."""
    threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        processor=_model() or platform.processor() or platform.machine(),
        processors=os.cpu_count() or 1,
        implementation=platform.python_implementation(),
        python=f"{sys.version_info.major}.{sys.version_info.minor}{threads}",
    )


def _model() -> str:
    """The processor's name on Linux; empty where there is none to be found."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
