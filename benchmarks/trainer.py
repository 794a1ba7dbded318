"""Views per second of the trainer against the same step in a plain loop, and with its loader, in one run.

python -m benchmarks.trainer            on two cores some 8 minutes; writes benchmarks/results/trainer-MACHINE.{json,md}
python -m benchmarks.trainer --quick    about a minute, for a look; writes nothing
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.aims import Aim, notes_list, times_of
from benchmarks.contenders.registry import HERE
from benchmarks.corpus import CLIP_SECONDS, write_clips
from benchmarks.report import markdown_table, write_results
from benchmarks.turns import Contender, Measured, measure
from sharding.build import build
from sharding.cores import usable_cores
from sharding.plan import BuildSettings

PLAIN, IN_MEMORY, LOADED = "plain loop", "trainer, batches in memory", "trainer with PairLoader"
AIMS = {
    IN_MEMORY: Aim("the same step without the trainer", (PLAIN,), 0.98),
    LOADED: Aim("batches in memory", (IN_MEMORY,), 0.95),
}
PACKAGES = ("torch", "numpy")


@dataclass(frozen=True)
class Case:
    """A training run to measure."""

    title: str
    sample_rate: int
    """Hz."""
    width: int
    augment: str
    pairs: int
    """Of a global batch."""
    steps: int
    """Of a turn; the log has a line every 10."""
    precision: str = "float32"

    @property
    def about(self) -> str:
        """The settings in words."""
        return (
            f"{self.sample_rate} Hz, width {self.width}, augmentations {self.augment}, {self.pairs} pairs, "
            f"{self.precision}; turns of {self.steps} steps"
        )


CASES = {
    "cpu": (
        Case("Short steps", 8000, 64, "crop", 8, 50),
        Case("The paper's network", 22050, 512, "paper", 8, 10),
    ),
    "cuda": (
        Case("Short steps", 8000, 64, "crop", 48, 500),
        Case("The paper's network", 22050, 512, "paper", 96, 100),
        Case("The paper's network, bf16", 22050, 512, "paper", 96, 200, "bf16"),
    ),
}
"""By device. Where steps are short, what the trainer does beside them shows most."""


def contenders(case: Case, shards: Path, device: str, cores: int) -> list[Contender]:
    """Who takes turns: the same steps of the same batches."""
    settings: dict[str, Any] = {
        "shards": str(shards),
        "pairs": case.pairs,
        "width": case.width,
        "augment": case.augment,
        "steps": case.steps,
        "precision": case.precision,
    }
    here = {**settings, "device": device, "threads": cores}
    listed = [
        Contender(PLAIN, f"{HERE}.training:plain", here),
        Contender(IN_MEMORY, f"{HERE}.training:trained", {**here, "in_memory": True}),
        Contender(LOADED, f"{HERE}.training:trained", {**here, "in_memory": False}),
    ]
    if device == "cpu" and cores > 1 and case.pairs % cores == 0:
        listed.append(Contender(processes(cores), f"{HERE}.training_ranks:several", {**settings, "ranks": cores}))
    return listed


def processes(cores: int) -> str:
    """Name of the contender with a process per core."""
    return f"trainer with PairLoader, {cores} processes of 1 thread"


def aims_of(measured: Measured) -> list[tuple[str, Aim]]:
    """Who is compared with whom; a process per core with one process has no aim."""
    others = [name for name in (*measured.rates, *measured.missing) if name not in {PLAIN, IN_MEMORY, LOADED}]
    return [*AIMS.items(), *((name, Aim("one process", (LOADED,), None)) for name in others)]


def part(case: Case, measured: Measured) -> str:
    """Rates of a case and what became of its aims, as Markdown."""
    rows = [
        [name, f"{rate.median:,.1f}", f"{rate.lowest:,.1f} - {rate.highest:,.1f}"]
        for name, rate in measured.rates.items()
    ]
    missing = [[name, "not measured", reason] for name, reason in measured.missing.items()]
    judged = []
    for name, aim in aims_of(measured):
        wanted = "" if aim.least is None else f"{aim.least:.0%}"
        found = times_of(aim, measured, name) if name in measured.rates else None
        if found is None:
            judged.append([name, aim.title, "not measured", "", wanted, "not measured" if wanted else ""])
            continue
        _, times = found
        met = "" if aim.least is None else "met" if times.median >= aim.least else "missed"
        spread = f"{times.lowest:.1%} - {times.highest:.1%}"
        judged.append([name, aim.title, f"{times.median:.1%}", spread, wanted, met])
    return (
        f"## {case.title}\n\n{case.about}.\n\n"
        + markdown_table(["", "views/s", "lowest - highest"], [*rows, *missing])
        + "\n"
        + markdown_table(["", "against", "share", "lowest - highest", "aim", ""], judged)
        + "\n"
    )


def run(cases: Sequence[Case], folder: Path, *, device: str, cores: int, clips: int, rounds: int) -> list[Measured]:
    """Make shards of each sample rate, and measure everybody."""
    write_clips(folder / "clips", clips)
    measured = []
    for case in cases:
        shards = folder / f"shards-{case.sample_rate}"
        if not shards.exists():
            build(folder / "clips", shards, BuildSettings(dataset="folder", sample_rate=case.sample_rate))
        click.echo(f"{case.title}: {case.about}")
        everybody = contenders(case, shards, device, cores)
        measured.append(measure(everybody, folder, rounds=rounds, seconds=0, say=click.echo, unit="views/s"))
    return measured


@click.command()
@click.option("--device", type=click.Choice(list(CASES)), help="By default cuda where there is one.")
@click.option("--rounds", type=click.IntRange(min=1), help="Turns of each contender, 5 or with --quick 2.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads, and processes; by default one per core.")
@click.option("--quick", is_flag=True, help="Turns of 10 steps at most, of the short ones only; writes nothing.")
def main(*, device: str | None, rounds: int | None, threads: int | None, quick: bool) -> None:
    """Measure what the trainer and its loader cost beside the step itself."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    cores, rounds = threads or usable_cores(), rounds or (2 if quick else 5)
    cases = CASES[device]
    if quick:
        short = cases[0]
        cases = (Case(short.title, short.sample_rate, short.width, short.augment, short.pairs, 10),)
    clips = 2 * max(case.pairs for case in cases)
    with tempfile.TemporaryDirectory(prefix="clmr-bench-") as folder:
        measured = run(cases, Path(folder), device=device, cores=cores, clips=clips, rounds=rounds)
    body = "".join(part(case, each) for case, each in zip(cases, measured, strict=True)) + (
        f"Device {torch.cuda.get_device_name() if device == 'cuda' else 'cpu'}, {cores} threads. {clips} clips of "
        f"{CLIP_SECONDS} s in shards on disk, in the page cache. Each contender in a process of its own, stopped while "
        "others are measured; all take the same batches in the same order, and the trainer's weights after its first "
        "steps were compared with the plain loop's: the same to the bit on a CPU. Of every turn's checkpoint the share "
        f"counts that a run with one every 500 steps has. Median of {rounds} rounds in turns; shares are medians of "
        f"the rounds' shares.\n\n{notes_list(*measured)}\n"
    )
    click.echo(f"\n{body}")
    if not quick:
        values = {
            "device": device,
            "threads": cores,
            "cases": [
                {
                    **asdict(case),
                    "views_per_second": {name: asdict(rate) for name, rate in each.rates.items()},
                    "not_measured": each.missing,
                }
                for case, each in zip(cases, measured, strict=True)
            ],
        }
        click.echo(f"written to {write_results('trainer', 'Trainer', body, values, PACKAGES)}")


if __name__ == "__main__":
    main()
