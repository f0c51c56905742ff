"""What a figure must be read with: processor, cores, memory, system, versions."""

import os
import platform
from pathlib import Path
from typing import Any

from .measuring import versions


def facts(*packages: str) -> dict[str, Any]:
    """Return the facts of this machine and the versions of packages."""
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        # Of the minute before the run; more than 0.5 says that others were at work.
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions("refsim", *packages),
    }


def _processor() -> str:
    """Return the processor's name, with family and model.

    Some machines hide the rest of the name.
    """
    wanted = {}
    for line in (
        Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        if Path("/proc/cpuinfo").exists()
        else []
    ):
        name, _, value = line.partition(":")
        wanted.setdefault(name.strip(), value.strip())
    if "model name" not in wanted:
        return platform.processor() or platform.machine()
    return (
        f"{wanted['model name']} (family {wanted.get('cpu family', '?')}, model "
        f"{wanted.get('model', '?')})"
    )


def core() -> int:
    """Return the core that one-core figures are taken on.

    The last, as the first serves interrupts.
    """
    return max(os.sched_getaffinity(0))
