"""How many processes a build starts when nobody says."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """The cores this process may use; all of the machine's where the system keeps no such account."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
