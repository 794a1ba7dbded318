"""Contrastive predictive coding, the paper's self-supervised baseline (section 2.5; docs/cpc.md).

    python train/cpc.py --shards data/shards/mtat --run runs/cpc --epochs 1000
    torchrun --nproc-per-node 4 -- train/cpc.py --shards data/shards/mtat --run runs/cpc --epochs 1000
    python train/cpc.py --shards data/shards/demo --run runs/small --steps 600 --width 64 --context 64   # a laptop

The same command again goes on from the newest checkpoint, after a kill -9 as after SIGTERM, at any number of processes.
SIGTERM ends it after a checkpoint with exit status 0, Ctrl-C with 130 (torchrun itself reports 1 in both cases).
"""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click

from clmr.errors import one_line_errors
from loaders.saturation.watch import SaturationLog
from loaders.settings import ACCESSES, BACKENDS
from sharding.format import SPLITS
from sharding.publish import claimed
from train import checkpoint
from train.cpc_settings import CpcSettings, check_cpc_resume
from train.cpc_trainer import CpcTrainer
from train.launch import DEVICES, from_first, placed
from train.preempt import StopRequest
from train.runlog import RunLog
from train.settings import PRECISIONS, save_config
from train.steps import take_steps


def save(trainer: CpcTrainer, run: Path) -> None:
    """Write a checkpoint from the first rank, unless this step's is there; every rank must call it.

    Raises:
        ConfigError: on every rank, when the weights have diverged: no checkpoint ever holds such weights.
    """
    trainer.check_finite()
    if trainer.place.first and not checkpoint.checkpoint_path(run, trainer.step_count).exists():
        checkpoint.save(run, trainer.step_count, trainer.state())


def train(trainer: CpcTrainer, run: Path, checkpoint_every: int, stop: StopRequest) -> int | None:
    """Train to the last step, or to a signal; the last step done is in a checkpoint either way.

    Returns:
        The signal that ended the training before its last step, if one did.
    """
    if trainer.step_count == 0:
        save(trainer, run)  # the initial weights: what the trained ones are compared with
    watch = SaturationLog(trainer.loader, rank=trainer.place.rank)
    with RunLog(run, start=trainer.step_count, total=trainer.total, active=trainer.place.first) as log:
        take_steps(
            trainer,
            watch,
            log,
            save=partial(save, trainer, run),
            checkpoint_every=checkpoint_every,
            batch_size=trainer.settings.batch_size,
            stop=stop,
            cure="--learning-rate",
        )
    return (stop.signal or signal.SIGTERM) if trainer.step_count < trainer.total else None


def find_state(run: Path, settings: CpcSettings) -> dict[str, Any] | None:
    """The newest checkpoint of ``run``, if it has any that belongs."""
    if not checkpoint.checkpoints(run):
        return None
    check_cpc_resume(run, settings)
    return checkpoint.latest(run, set_aside=True)


@click.command(context_settings={"show_default": True})
@click.option(
    "--shards",
    multiple=True,
    help="Folder of shards, by path or URL. Several are mixed by weight: --shards A=0.7 B=0.3.",
)
@click.argument("more_shards", nargs=-1, metavar="[SHARDS=WEIGHT]...")
@click.option("--run", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of this run.")
@click.option("--epochs", type=int, help="Passes over the tracks.")
@click.option("--steps", type=int, help="Optimiser steps, instead of --epochs.")
@click.option("--split", "splits", type=click.Choice(SPLITS), multiple=True, default=["train"], help="May be repeated.")
@click.option("--sample-rate", type=int, help="Hz the shards must have  [default: what they have]")
@click.option("--crop-frames", type=click.IntRange(min=1), help="Samples of a sequence  [default: SampleCNN's crop]")
@click.option("--batch-size", default=64, help="Sequences in a global batch, over all processes.")
@click.option("--width", default=512, help="Filters of the encoder's convolutions.")
@click.option("--context", default=256, help="Hidden units of the GRU: the features of a window.")
@click.option("--predictions", default=20, help="Steps ahead that are predicted, of 480 samples each.")
@click.option("--negatives", default=15, help="Latents of the batch that each prediction is compared with.")
@click.option("--batch-norm/--no-batch-norm", default=False, help="Batch normalisation behind every convolution.")
@click.option("--learning-rate", default=3e-4, help="Of Adam.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="Of the initial weights and of every draw.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="float32")
@click.option("--backend", type=click.Choice(BACKENDS), default="auto", help="Who brings crops to the device.")
@click.option("--access", type=click.Choice(ACCESSES), default="auto", help="How remote shards are read.")
@click.option(
    "--window",
    type=click.IntRange(min=0),
    help="Shards whose tracks are mixed, 0 for all  [default: what streaming needs, else 0]",
)
@click.option("--cache", help="Folder of the streaming cache  [default: $CLMR_CACHE or ~/.cache/clmr/shards]")
@click.option("--cache-size", help="Most the cache may hold, such as 500GiB  [default: 80 % of what is free]")
@click.option("--depth", type=click.IntRange(min=1), help="Batches read ahead  [default: 3, more where it is far]")
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=500, help="Steps between checkpoints.")
@click.option("--device", type=click.Choice(DEVICES), default="auto")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads  [default: this process's share of the cores]")
@one_line_errors()
def main(
    run: Path,
    shards: tuple[str, ...],
    more_shards: tuple[str, ...],
    checkpoint_every: int,
    device: str,
    threads: int | None,
    **options: Any,
) -> None:
    """Train CPC without labels. The same command again goes on where it was."""
    settings = CpcSettings(shards=shards + more_shards, **options)
    with placed(device, threads) as place, claimed(run) if place.first else nullcontext():
        trainer = CpcTrainer(settings, place, from_first(lambda: find_state(run, settings)))
        with trainer.loader:
            if place.first:
                click.echo(f"loader: {trainer.loader.description}", err=True)
                save_config(run, trainer.config())
            with StopRequest() as stop:
                stopped_by = train(trainer, run, checkpoint_every, stop)
        if place.first:
            where = f"step {trainer.step_count} of {trainer.total}"
            if stopped_by is not None:
                where = f"stopped at {where}; the same command goes on from there"
            click.echo(f"{run}: {where}")
    # Whoever pressed Ctrl-C does not want the next command of the line; a scheduler's SIGTERM is no failure.
    if stopped_by == signal.SIGINT:
        sys.exit(130)


if __name__ == "__main__":
    main()
