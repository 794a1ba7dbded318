"""The study's shards: made by the sharder's own command, which goes on where it was."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from clmr.errors import ConfigError
from sharding.format import SPLITS, read_manifest
from train.runner.execution import Child
from train.study.plan import StudyPlan


def shards_of(plan: StudyPlan) -> str:
    """Where the shards of a size are unless the user has others."""
    return f"data/shards/study-{plan.corpus}-{plan.sample_rate}"


def check(plan: StudyPlan, shards: str) -> None:
    """Refuse shards that some command of the study would refuse, perhaps hours later.

    Raises:
        ConfigError: no labels, a split without tracks, or another sample rate.
        ShardError: no shards there, or damaged ones.
    """
    manifest = read_manifest(shards)
    if not manifest.labels:
        raise ConfigError(f"--shards {shards}: no labels, which every score needs; shard them with a labels.csv")
    missing = [split for split in SPLITS if not manifest.splits.get(split)]
    if missing:
        raise ConfigError(f"--shards {shards}: no tracks in {', '.join(missing)}; the study needs {', '.join(SPLITS)}")
    if manifest.sample_rate != plan.sample_rate:
        raise ConfigError(
            f"--shards {shards}: {manifest.sample_rate} Hz, and this size needs {plan.sample_rate}; shard with "
            f"--sample-rate {plan.sample_rate} or give another --size"
        )


def build(plan: StudyPlan, shards: str, jobs: int) -> None:
    """Play the songs and pack them; what is there already is kept.

    Raises:
        ConfigError: the sharder failed; it has said why.
        Stopped: a signal came.
    """
    source = Path("data/raw") / ("study" if plan.corpus == "cpu" else f"study-{plan.corpus}")
    words = ["-m", "sharding", "build", "study", "--variant", plan.corpus, "--source", str(source), "--out", shards]
    words += ["--sample-rate", str(plan.sample_rate), "--jobs", str(jobs)]
    click.echo(f"$ {shlex.join(['python', *words])}")
    sys.stdout.flush()
    with Child() as child:
        status = child.run([sys.executable, *words])
        child.check()
    if status:
        raise ConfigError(f"the command above failed with exit status {status}; mend that and run the study again")
