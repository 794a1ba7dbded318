"""Results that can be judged later: median and spread, machine, versions, date and command."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Machine:
    """What a figure depends on, without naming the host."""

    cpu: str
    cores: int
    """Cores this process may use."""
    memory_gib: int
    system: str
    python: str

    @property
    def slug(self) -> str:
        """For file names, such as ``intel-r-xeon-r-processor-2-cores``."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.cpu} {self.cores} cores".lower()).strip("-")


def this_machine() -> Machine:
    """The machine this runs on."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        system=f"{platform.system()} {platform.release().split('-')[0]}",
        python=platform.python_version(),
    )


def _cpu_model() -> str:
    """The first processor's model name where the system has one in ``/proc/cpuinfo``, else its architecture."""
    listing = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", listing.read_text(), re.MULTILINE) if listing.is_file() else []
    return names[0].strip() if names else platform.machine()


@dataclass(frozen=True)
class Spread:
    """Rounds of one measurement."""

    median: float
    lowest: float
    highest: float
    rounds: tuple[float, ...]

    @staticmethod
    def of(rounds: Sequence[float]) -> Spread:
        """Sum up the rounds."""
        return Spread(median(rounds), min(rounds), max(rounds), tuple(rounds))


def ratio(numerator: Spread, denominator: Spread) -> Spread:
    """How many times as fast, round by round: what slowed a whole round down cancels."""
    return Spread.of([a / b for a, b in zip(numerator.rounds, denominator.rounds, strict=True)])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def installed(package: str) -> str:
    """Its version, or that there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def write_results(
    name: str,
    title: str,
    body: str,
    values: Mapping[str, Any],
    packages: Sequence[str],
    folder: Path = RESULTS,
    others: Mapping[str, str] | None = None,
) -> Path:
    """Write ``NAME-MACHINE.json`` and, beside it, ``.md``.

    Args:
        name: of the benchmark.
        title: heading of the Markdown file.
        body: its Markdown text, the table first.
        values: figures and settings for the JSON file.
        packages: whose versions the figures depend on.
        folder: where to write.
        others: versions found elsewhere, such as in another interpreter.

    Returns:
        Path of the Markdown file.
    """
    machine = this_machine()
    versions = {package: installed(package) for package in packages} | dict(others or {})
    origin = {
        "command": " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": asdict(machine),
        "versions": versions,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{machine.slug}"
    path.with_suffix(".json").write_text(json.dumps({**origin, **values}, indent=2) + "\n")
    where = f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, {machine.system}, Python {machine.python}"
    listed = ", ".join(f"{package} {number}" for package, number in versions.items())
    page = f"# {title}\n\n{body}\n{where}; {listed}. {origin['date']}, `{origin['command']}`.\n"
    markdown = path.with_suffix(".md")
    markdown.write_text(page)
    return markdown
