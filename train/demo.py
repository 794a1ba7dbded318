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
from typing import Any

import click
import numpy as np

from clmr.errors import ConfigError, one_line_errors
from sharding.publish import publish
from train.report import draw_loss
from train.runlog import read_log

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_RATE = 8000
SHARD_SIZE = "16MiB"  # jobs work on whole shards; the default would make three for 130 MiB of songs
LIMITS = """
What these numbers do not show: anything about recorded music. The songs are rendered by this project, share its
instruments and are few; tempo and timbre are easier here than in life. The encoder is narrow and trains for about a
minute, without the paper's pitch shift and reverb. Seeds vary the weights and the crops, not the corpus, so the
spread says nothing about other corpora. Part of each song's recording chain is first-order shelving, a form that
the augmentations' filters resemble, which flatters pretraining. Nothing here compares with the paper's scores."""


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
    batch_size: int = 48
    temperature: float = 0.2
    learning_rate: float = 3e-3
    heads: int = 3
    """Probe heads per encoder, averaged: the validation songs are few, so one head's stopping point is luck."""
    probe_learning_rate: float = 1e-3
    probe_patience: int = 20


def run_command(arguments: Sequence[str]) -> None:
    """Print and run one command of the project; its failure ends the demo with its own message."""
    print(f"\n$ python {' '.join(arguments)}", flush=True)
    code = subprocess.run([sys.executable, *arguments], check=False, cwd=ROOT).returncode
    if code:
        raise ConfigError(f"the command above failed with exit status {code}; mend that and run the demo again")


def scores_of(probes: Sequence[Path]) -> dict[str, Any]:
    """Test scores of one system, one value per pretraining seed (the mean over that seed's heads)."""
    results = [json.loads((folder / "scores.json").read_text(encoding="utf-8")) for folder in probes]

    def of_tag(result: dict[str, Any], tag: str) -> float:
        return float(np.mean([head["tag"]["per_tag"][tag]["roc_auc"] for head in result["test"]]))

    scores: dict[str, Any] = {
        f"{kind}_{metric}": [result["summary"][kind][metric]["mean"] for result in results]
        for kind in ("tag", "item")
        for metric in ("roc_auc", "pr_auc")
    }
    scores["per_tag"] = {
        tag: [of_tag(result, tag) for result in results] for tag in results[0]["test"][0]["tag"]["per_tag"]
    }
    scores["prevalence"] = float(np.mean(list(results[0]["protocol"]["test_prevalence"].values())))
    return scores


def spread(values: Sequence[float]) -> str:
    """Mean and sample standard deviation, as ``.7290 +- .0041``; the mean alone of one value."""
    deviation = f" +- {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{deviation}"


def table(systems: dict[str, dict[str, Any]], seeds: int) -> str:
    """The demo's closing table, as Markdown."""
    prevalence = systems["pretrained"]["prevalence"]
    lines = [
        f"| test songs, mean +- sd of {seeds} seeds | tag ROC-AUC | tag PR-AUC | item ROC-AUC | item PR-AUC |",
        "|---|---|---|---|---|",
        f"| chance | .5000 | {prevalence:.4f} | .5000 | - |",
    ]
    lines += [
        f"| {name} | {spread(scores['tag_roc_auc'])} | {spread(scores['tag_pr_auc'])} "
        f"| {spread(scores['item_roc_auc'])} | {spread(scores['item_pr_auc'])} |"
        for name, scores in systems.items()
    ]
    return "\n".join(lines)


def per_tag_table(systems: dict[str, dict[str, Any]], baseline: str) -> str:
    """ROC-AUC of every tag, pretrained against the baseline, gains first, losses last."""
    before, after = systems[baseline]["per_tag"], systems["pretrained"]["per_tag"]
    change = {tag: np.mean(after[tag]) - np.mean(before[tag]) for tag in after}
    lines = [f"| tag | {baseline} | pretrained | change |", "|---|---|---|---|"]
    lines += [
        f"| {tag} | {np.mean(before[tag]):.3f} | {np.mean(after[tag]):.3f} | {change[tag]:+.3f} |"
        for tag in sorted(change, key=lambda tag: -change[tag])
    ]
    return "\n".join(lines)


def verdict(systems: dict[str, dict[str, Any]], baseline: str) -> str:
    """One sentence: how often and by how much pretraining beat the baseline, seed by seed."""
    gains = np.subtract(systems["pretrained"]["tag_roc_auc"], systems[baseline]["tag_roc_auc"])
    return (
        f"Pretraining beats the {baseline} encoder on test ROC-AUC in {int((gains > 0).sum())} of {len(gains)} seeds, "
        f"by {spread(gains.tolist())} (each seed: {', '.join(f'{gain:+.4f}' for gain in gains)})."
    )


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
    return ["train/pretrain.py", *(str(word) for pair in options.items() for word in pair)]


def probe_features(plan: DemoPlan, features: Path, out: Path) -> Path:
    """Probe one feature folder; returns where the scores are."""
    options = {"--seeds": plan.heads, "--learning-rate": plan.probe_learning_rate, "--patience": plan.probe_patience}
    words = [str(word) for pair in options.items() for word in pair]
    run_command(["train/probe.py", "--features", str(features), "--out", str(out), *words])
    return out


def run_chain(plan: DemoPlan, places: DemoPlaces, jobs: int) -> dict[str, dict[str, Any]]:
    """Corpus, shards, three systems, features, probes; returns the scores of each system."""
    shards, work = places.shards, places.work
    build = ["-m", "sharding", "build", plan.dataset, "--source", str(places.source), "--out", str(shards)]
    run_command([*build, "--sample-rate", str(SAMPLE_RATE), "--shard-size", SHARD_SIZE, "--jobs", str(jobs)])
    run_command(["-m", "sharding", "verify", str(shards)])

    spectrum = work / "log-spectrum"
    embed = ["train/embed.py", "--shards", str(shards)]
    run_command([*embed, "--baseline", "log-spectrum", "--out", str(spectrum / "features")])
    probes: dict[str, list[Path]] = {"log-spectrum statistics": [], "untrained": [], "pretrained": []}
    probes["log-spectrum statistics"].append(probe_features(plan, spectrum / "features", spectrum / "probe"))
    for name in ("untrained", "pretrained"):
        for seed in range(plan.seeds):
            run = work / f"{name}-{seed}"
            run_command(pretrain_arguments(plan, shards, run, seed, trained=name == "pretrained"))
            run_command([*embed, "--run", str(run), "--device", "cpu", "--out", str(run / "features")])
            probes[name].append(probe_features(plan, run / "features", run / "probe"))
    return {name: scores_of(folders) for name, folders in probes.items()}


def write_report(plan: DemoPlan, work: Path, systems: dict[str, dict[str, Any]]) -> str:
    """Write demo.md, demo.json and loss.png; returns the text of demo.md."""
    logs = {f"seed {seed}": read_log(work / f"pretrained-{seed}") for seed in range(plan.seeds)}
    draw_loss(logs, work / "loss.png")
    parts = [table(systems, plan.seeds), verdict(systems, "untrained"), per_tag_table(systems, "untrained"), LIMITS]
    text = "\n\n".join(part.strip() for part in parts)
    with publish(work / "demo.md") as path:
        path.write_text(text + "\n", encoding="utf-8")
    with publish(work / "demo.json") as path:
        path.write_text(json.dumps({"plan": asdict(plan), "systems": systems}, indent=2) + "\n", encoding="utf-8")
    return text


@click.command(context_settings={"show_default": True})
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processes for the sharder.")
@one_line_errors()
def main(jobs: int) -> None:
    """Run the chain end to end on the CPU; finished stages of an earlier try are not done again."""
    began = time.monotonic()
    plan, places = DemoPlan(), DemoPlaces()
    os.chdir(ROOT)  # the commands are the README's, typed at the top of the checkout
    text = write_report(plan, places.work, run_chain(plan, places, jobs))
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    work = places.work
    click.echo(f"\n{text}\n\n{work}/demo.md, {work}/demo.json, {work}/loss.png; took {minutes} min {seconds} s")


if __name__ == "__main__":
    main()
