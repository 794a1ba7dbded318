"""The command: python -m train.study {run,table} (docs/results.md)."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from clmr.errors import ConfigError, one_line_errors
from train.ranks.launch import DEVICES
from train.runner.execution import Failure, Stopped, end, execute, show
from train.runner.plan import share_of
from train.runner.stages import Places
from train.runner.writing import write_tables
from train.study import corpus
from train.study.findings import METRICS, Findings, find
from train.study.page import markdown
from train.study.pictures import draw
from train.study.plan import SIZES, StudyPlan, claim, read_plan
from train.study.side_by_side import run_shares
from train.study.systems import units_of

FOLDER = click.Path(path_type=Path, file_okay=False)
out_option = click.option("--out", type=FOLDER, default=Path("runs/study"), help="Folder for everything.")


@click.group()
def main() -> None:
    """Does it learn? Pretrained, untrained and supervised encoders, and each augmentation alone."""


@main.command(context_settings={"show_default": True})
@click.option(
    "--size", type=click.Choice(list(SIZES)), default="cpu", help="tiny shows that it runs; full needs a GPU."
)
@out_option
@click.option("--shards", help="Labelled shards of your own, at the size's sample rate, instead of the study corpus.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Trainings at a time, each with its own threads.")
@click.option("--device", type=click.Choice(DEVICES), default="auto")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a training  [default: 1 with several jobs]")
@click.option("--only", metavar="I/N", help="The I-th of N shares of the study, for the tasks of an array job.")
@click.option("--dry-run", is_flag=True, help="Print the commands; no more.")
@one_line_errors()
def run(
    size: str,
    out: Path,
    shards: str | None,
    jobs: int,
    device: str,
    threads: int | None,
    only: str | None,
    *,
    dry_run: bool,
) -> None:
    """Train, embed and probe everything; what is finished is skipped, and the tables are printed at the end."""
    plan = SIZES[size]
    if jobs > 1 and only is not None:
        raise ConfigError("--jobs and --only exclude each other: --only is one share already")
    folder = shards or corpus.shards_of(plan)
    places = Places(1, device, threads or (1 if jobs > 1 else None))
    units = share_of(units_of(plan, folder, out, places), only)
    if dry_run:
        show(units)
        return
    if shards is not None:
        corpus.check(plan, folder)  # before the folder is anybody's
    claim(out, plan, folder)
    if shards is None:
        try:
            corpus.build(plan, folder, jobs)
        except Stopped:
            click.echo("stopped; the same command goes on from there", err=True)
            sys.exit(130)
    failures: list[Failure] = []
    lost: list[str] = []
    if jobs > 1:
        command = ["-m", "train.study", "run", "--size", size, "--out", str(out), "--shards", folder]
        command += ["--device", device, "--threads", str(places.threads)]
        lost = run_shares(command, jobs, out, len(units), lambda: sum(unit.stages[-1].finished() for unit in units))
    else:
        failures = execute(units)
    if only is None:
        print_tables(out)
    if lost:
        raise ConfigError(f"something failed, and the last lines of its log say what: {'; '.join(lost)}; run it again")
    end(failures, units)


@main.command(context_settings={"show_default": True})
@out_option
@one_line_errors()
def table(out: Path) -> None:
    """The tables and pictures of a study, as far as it has come; run nothing."""
    print_tables(out)


def print_tables(out: Path) -> None:
    """Write study.md, study.json and the pictures into ``out`` and print the first."""
    plan, _ = read_plan(out)
    findings = find(plan, out)
    text = markdown(findings, out)
    write_tables(out, "study", text, numbers(findings, plan))
    pictures = draw(findings, out)
    click.echo(f"\n{text}\n\n{', '.join(map(str, (out / 'study.md', out / 'study.json', *pictures)))}")


def numbers(findings: Findings, plan: StudyPlan) -> dict[str, Any]:
    """Everything that was measured, for study.json."""
    scores = [
        {
            "system": system,
            "percent": percent,
            "metric": metric,
            "by_seed_and_draw": {seed: [one.values(metric)[0] for one in draws] for seed, draws in seeds.items()},
        }
        for (system, percent), seeds in findings.scored.items()
        for metric in METRICS
    ]
    tags = [
        {"system": system, "percent": percent, "roc_auc": findings.tags(system, percent)}
        for system, percent in findings.scored
    ]
    costs = {system: [asdict(cost) for cost in costs] for system, costs in findings.costs.items()}
    plain = json.loads(json.dumps(asdict(plan)))
    return {"plan": plain, "scores": scores, "tags": tags, "accuracy": findings.accuracy, "costs": costs}


if __name__ == "__main__":
    main(prog_name="python -m train.study")
