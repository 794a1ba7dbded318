"""The whole chain on a corpus it makes itself, ending in a table: does pretraining beat the same encoder untrained?

    make demo

Every stage is a command a user would type, printed before it runs; the numbers come out of the files they write.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from clmr.errors import ConfigError, one_line_errors
from sharding.publish import publish
from train.demo_table import SPECTRUM, Systems, chance_scores, closing_text, scores_of
from train.kept_plan import keep_plan
from train.report import draw_loss
from train.runs.log import read_log

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_RATE = 8000

THREAD_SPINS = "10000"
"""How often a thread of OpenMP looks for work before it sleeps; libgomp's own number is 300,000. Where another program
wants a core too, threads that spin for long keep it from those they wait for."""


@dataclass(frozen=True)
class DemoPlaces:
    """Where the demo reads and writes."""

    source: Path = Path("data/raw/demo")
    shards: Path = Path("data/shards/demo")
    work: Path = Path("runs/demo")
    """Runs, features, scores and the closing table."""


@dataclass(frozen=True)
class DemoPlan:
    """The demo's fixed sizes: steps, not seconds, so that a slow machine gets the same scores later."""

    dataset: str = "demo"
    """The sharder's data set: ``demo`` makes the corpus."""
    steps: int = 500
    calibration_steps: int = 30
    """Steps at learning rate 0 that give the untrained encoder batch-norm statistics of the data."""
    seeds: int = 3
    width: int = 64
    batch_size: int = 24
    temperature: float = 0.2
    learning_rate: float = 3e-3
    heads: int = 3
    """Probe heads per encoder, averaged: the validation songs are few, so one head's stopping point is luck."""
    probe_learning_rate: float = 1e-3
    probe_patience: int = 20


def run_command(arguments: Sequence[str]) -> None:
    """Print and run one command of the project; its failure ends the demo with its own message."""
    print(f"\n$ python {' '.join(arguments)}", flush=True)
    environment = {"GOMP_SPINCOUNT": THREAD_SPINS, **os.environ}  # libgomp reads it once, when torch is imported
    code = subprocess.run([sys.executable, *arguments], check=False, cwd=ROOT, env=environment).returncode
    if code:
        raise ConfigError(f"the command above failed with exit status {code}; mend that and run the demo again")


def claim(work: Path, plan: DemoPlan) -> None:
    """Note the plan in the work folder; refuse one whose runs were made by another plan."""
    other = f"{work} holds the runs of a demo of other sizes; remove it (rm -r {work}) and start again"
    keep_plan(work, asdict(plan), other)


def pretrain_arguments(plan: DemoPlan, shards: Path, run: Path, seed: int, *, trained: bool) -> list[str]:
    """The pretraining command of one seed; untrained means learning rate 0, which only settles the batch norms."""
    steps, rate = (plan.steps, plan.learning_rate) if trained else (plan.calibration_steps, 0.0)
    options = {
        "--shards": shards,
        "--run": run,
        "--steps": steps,
        "--learning-rate": rate,
        "--seed": seed,
        "--width": plan.width,
        "--batch-size": plan.batch_size,
        "--temperature": plan.temperature,
        "--device": "cpu",
    }
    words = [str(word) for pair in options.items() for word in pair]
    return ["train/pretrain.py", *words, "--no-ceilings"]  # what the machine could reach is not the demo's question


def probe_features(plan: DemoPlan, features: Path, out: Path) -> Path:
    """Probe one feature folder; returns where the scores are."""
    options = {"--seeds": plan.heads, "--learning-rate": plan.probe_learning_rate, "--patience": plan.probe_patience}
    words = [str(word) for pair in options.items() for word in pair]
    run_command(["train/probe.py", "--features", str(features), "--out", str(out), *words])
    return out


def run_chain(plan: DemoPlan, places: DemoPlaces, jobs: int) -> Systems:
    """Corpus, shards, three systems, features, probes; returns the scores of each system."""
    shards, work = places.shards, places.work
    claim(work, plan)
    build = ["-m", "sharding", "build", plan.dataset, "--source", str(places.source), "--out", str(shards)]
    run_command([*build, "--sample-rate", str(SAMPLE_RATE), "--jobs", str(jobs)])
    run_command(["-m", "sharding", "verify", str(shards)])

    spectrum = work / "log-spectrum"
    embed = ["train/embed.py", "--shards", str(shards)]
    run_command([*embed, "--baseline", "log-spectrum", "--out", str(spectrum / "features")])
    probes: dict[str, list[Path]] = {SPECTRUM: [], "untrained": [], "pretrained": []}
    probes[SPECTRUM].append(probe_features(plan, spectrum / "features", spectrum / "probe"))
    for name in ("untrained", "pretrained"):
        for seed in range(plan.seeds):
            run = work / f"{name}-{seed}"
            run_command(pretrain_arguments(plan, shards, run, seed, trained=name == "pretrained"))
            run_command([*embed, "--run", str(run), "--device", "cpu", "--out", str(run / "features")])
            probes[name].append(probe_features(plan, run / "features", run / "probe"))
    chance = chance_scores(spectrum / "features")
    return {"chance": chance} | {name: scores_of(folders) for name, folders in probes.items()}


def write_report(plan: DemoPlan, work: Path, systems: Systems) -> str:
    """Write demo.md, demo.json and loss.png; returns the text of demo.md."""
    logs = {f"seed {seed}": read_log(work / f"pretrained-{seed}") for seed in range(plan.seeds)}
    draw_loss(logs, work / "loss.png")
    text = closing_text(systems)
    with publish(work / "demo.md") as path:
        path.write_text(text + "\n", encoding="utf-8")
    with publish(work / "demo.json") as path:
        path.write_text(json.dumps({"plan": asdict(plan), "systems": systems}, indent=2) + "\n", encoding="utf-8")
    return text


@click.command(context_settings={"show_default": True})
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processes for the sharder.")
@one_line_errors()
def main(jobs: int) -> None:
    """Run the chain end to end on the CPU; shards and training of an earlier try are not done again."""
    began = time.monotonic()
    plan, places = DemoPlan(), DemoPlaces()
    os.chdir(ROOT)  # the commands are the README's, typed at the top of the checkout
    text = write_report(plan, places.work, run_chain(plan, places, jobs))
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    work = places.work
    click.echo(f"\n{text}\n\n{work}/demo.md, {work}/demo.json, {work}/loss.png; took {minutes} min {seconds} s")


if __name__ == "__main__":
    main()
