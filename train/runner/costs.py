"""What the commands of a plan cost: seconds by the clock and of processors, a line for each."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

COSTS = "costs.jsonl"
"""In a unit's folder; a stage that was interrupted has a line for each try."""


@dataclass(frozen=True)
class Cost:
    """Of one run of one command."""

    stage: str
    """Its name."""
    seconds: float
    """By the clock."""
    cpu_seconds: float
    """Of all cores, its own child processes included."""


class Meter:
    """Measures the one command that runs between its making and :meth:`cost`."""

    def __init__(self) -> None:
        self._since, self._cpu = time.monotonic(), _of_children()

    def cost(self, stage: str) -> Cost:
        """What the command cost that has ended meanwhile."""
        return Cost(stage, round(time.monotonic() - self._since, 2), round(_of_children() - self._cpu, 2))


def note_cost(folder: Path, cost: Cost) -> None:
    """Add a line; one short write, so lines of several processes do not mix."""
    with (folder / COSTS).open("ab", buffering=0) as file:
        file.write((json.dumps(asdict(cost)) + "\n").encode())


def costs_of(folders: Iterable[Path]) -> list[Cost]:
    """All that was noted in these folders; a line that a kill cut off is left out."""
    found = []
    for folder in folders:
        path = folder / COSTS
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                found.append(Cost(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return found


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
