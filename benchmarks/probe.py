"""The probe's `fast` preset against scikit-learn's one-vs-rest: time of a fit and its validation score, in one run.

python -m benchmarks.probe            on two cores some 4 minutes; writes benchmarks/results/probe-MACHINE.{json,md}
python -m benchmarks.probe --quick    seconds, of a small problem, for a look; writes nothing
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.aims import Aim, aim_table, notes_list
from benchmarks.contenders.registry import HERE
from benchmarks.report import markdown_table, write_results
from benchmarks.turns import Contender, Measured, measure
from sharding.cores import usable_cores

OURS = "probe, preset fast"
THREADED, JOBS = "scikit-learn one-vs-rest", "scikit-learn one-vs-rest, a process per core"
AIMS = (Aim("scikit-learn one-vs-rest", (THREADED, JOBS), 4.0),)
PACKAGES = ("torch", "scikit-learn", "numpy", "scipy")


@dataclass(frozen=True)
class Problem:
    """A fit to measure."""

    title: str
    rows: int
    valid: int
    width: int
    tags: int
    correlated: bool
    """As an encoder's features, or independent."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Of :func:`benchmarks.contenders.probing.splits`."""
        return {name: value for name, value in asdict(self).items() if name != "title"}


PROBLEMS = (
    Problem("Correlated features", 14_000, 2_000, 512, 50, correlated=True),
    Problem("Independent features", 14_000, 2_000, 512, 50, correlated=False),
)
SMALL = Problem("A small problem", 600, 200, 32, 6, correlated=True)


@dataclass(frozen=True)
class Result:
    """What came of one problem."""

    problem: Problem
    measured: Measured
    """In fits per minute."""
    notes: dict[str, dict[str, Any]]
    """``score`` of each contender on the validation rows, and what else it said."""


def contenders(problem: Problem, folder: Path, cores: int) -> list[Contender]:
    """Who takes turns; where there is one core, a process per core is nothing else."""
    threads = {name: str(cores) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    shared = {"problem": problem.arguments}

    def note(name: str) -> dict[str, str]:
        return {"note": str(folder / f"{problem.title} - {name}.json")}

    listed = [
        Contender(OURS, f"{HERE}.probing:fast", {**shared, **note(OURS), "threads": cores}, environment=threads),
        Contender(
            THREADED, f"{HERE}.probing:one_vs_rest", {**shared, **note(THREADED), "jobs": None}, environment=threads
        ),
    ]
    if cores > 1:
        alone = dict.fromkeys(threads, "1")
        settings = {**shared, **note(JOBS), "jobs": cores}
        listed.append(Contender(JOBS, f"{HERE}.probing:one_vs_rest", settings, environment=alone))
    return listed


def run(problems: Sequence[Problem], folder: Path, *, cores: int, rounds: int) -> list[Result]:
    """Measure everybody on every problem."""
    results = []
    for problem in problems:
        click.echo(f"{problem.title}: {problem.rows:,} x {problem.width} x {problem.tags}")
        everybody = contenders(problem, folder, cores)
        measured = measure(everybody, folder, rounds=rounds, seconds=0, say=click.echo, unit="fits/min")
        notes = {
            each.name: json.loads(Path(each.settings["note"]).read_text(encoding="utf-8"))
            for each in everybody
            if each.name in measured.rates
        }
        results.append(Result(problem, measured, notes))
    return results


def part(result: Result) -> str:
    """Seconds and validation scores of a problem, and what became of the aims, as Markdown."""
    problem, measured = result.problem, result.measured
    best = max((note["score"] for name, note in result.notes.items() if name != OURS), default=None)
    rows = []
    for name, rate in measured.rates.items():
        note = result.notes[name]
        spread = f"{60 / rate.highest:.2f} - {60 / rate.lowest:.2f}"
        rows.append([name, f"{60 / rate.median:.2f}", spread, f"{note['score']:.4f}"])
    rows += [[name, "not measured", reason, ""] for name, reason in measured.missing.items()]
    verdict = ""
    if OURS in result.notes and best is not None:
        ours = result.notes[OURS]
        judged = "met" if ours["score"] >= best else "missed"
        verdict = (
            f"\nValidation score no worse than scikit-learn's: {judged}, {ours['score'] - best:+.4f}. The fast preset "
            f"tried {ours['penalties_tried']} strengths and chose {ours['penalty']:g}.\n"
        )
    return (
        f"## {problem.title}\n\n{problem.rows:,} rows x {problem.width} features x {problem.tags} tags, "
        f"{problem.valid:,} validation rows.\n\n"
        + markdown_table(["", "seconds", "lowest - highest", "validation score"], rows)
        + "\n"
        + (aim_table(AIMS, measured, OURS) if OURS in measured.rates else "")
        + f"{verdict}\n"
    )


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Turns of each contender.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads, and processes; by default one per core.")
@click.option("--quick", is_flag=True, help="A small problem; writes nothing.")
def main(*, rounds: int, threads: int | None, quick: bool) -> None:
    """Measure what a probe of all tags costs."""
    cores = threads or usable_cores()
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as folder:
        results = run((SMALL,) if quick else PROBLEMS, Path(folder), cores=cores, rounds=rounds)
    body = "".join(map(part, results)) + (
        f"{cores} threads or processes, whichever a contender uses. Features are made up and standardised before; the "
        "validation score is the mean of tag-wise ROC-AUC and PR-AUC. scikit-learn fits one strength, its own default, "
        "the fast preset all that it tries. Each contender in a process of its own, stopped while others are measured; "
        f"median of {rounds} rounds in turns after one that warms up, times are medians of the rounds' ratios.\n\n"
        f"{notes_list(*(result.measured for result in results))}\n"
    )
    click.echo(f"\n{body}")
    if not quick:
        values = {
            "threads": cores,
            "problems": [
                {
                    **asdict(result.problem),
                    "fits_per_minute": {name: asdict(rate) for name, rate in result.measured.rates.items()},
                    "notes": result.notes,
                    "not_measured": result.measured.missing,
                }
                for result in results
            ],
        }
        click.echo(f"written to {write_results('probe', 'Probe', body, values, PACKAGES)}")


if __name__ == "__main__":
    main()
