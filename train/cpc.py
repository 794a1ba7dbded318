"""Contrastive predictive coding, the paper's self-supervised baseline (section 2.5; docs/cpc.md).

    python train/cpc.py --shards data/shards/mtat --run runs/cpc --epochs 1000
    torchrun --nproc-per-node 4 -- train/cpc.py --shards data/shards/mtat --run runs/cpc --epochs 1000
    python train/cpc.py --shards data/shards/demo --run runs/small --steps 600 --width 64 --context 64   # a laptop

The same command again goes on from the newest checkpoint, after a kill -9 as after SIGTERM, at any number of processes.
SIGTERM ends it after a checkpoint with exit status 0, Ctrl-C with 130 (torchrun itself reports 1 in both cases).
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from clmr.errors import one_line_errors
from loaders.saturation.watch import SaturationLog
from sharding.publish import publish
from train import options
from train.ceilings import gather
from train.cpc_settings import CpcSettings, check_cpc_resume
from train.cpc_trainer import CpcTrainer
from train.ranks.launch import from_first, placed
from train.runs import checkpoint
from train.runs.ending import end
from train.runs.folder import run_folder
from train.runs.log import RunLog
from train.runs.preempt import StopRequest
from train.settings import PRECISIONS, save_config
from train.steps import take_steps


def save(trainer: CpcTrainer, run: Path, copied: Callable[[int], None]) -> None:
    """Write a checkpoint from the first rank, unless this step's is there; every rank must call it.

    Raises:
        ConfigError: on every rank, when the weights have diverged: no checkpoint ever holds such weights.
    """
    trainer.check_finite()
    if trainer.place.first and not checkpoint.checkpoint_path(run, trainer.step_count).exists():
        checkpoint.save(run, trainer.step_count, trainer.state())
        copied(trainer.step_count)


def train(
    trainer: CpcTrainer,
    run: Path,
    checkpoint_every: int,
    stop: StopRequest,
    *,
    copied: Callable[[int], None] = lambda step: None,
) -> int | None:
    """Train to the last step, or to a signal; the last step done is in a checkpoint either way.

    What the device waited for stands in ``saturation.json`` at the end, without the ceilings of train/pretrain.py.

    Returns:
        The signal that ended the training before its last step, if one did.
    """
    if trainer.step_count == 0:
        save(trainer, run, copied)  # the initial weights: what the trained ones are compared with
    watch = SaturationLog(trainer.loader, rank=trainer.place.rank)
    first, begun_at = trainer.place.first, trainer.step_count
    with RunLog(run, start=begun_at, total=trainer.total, active=first, title="cpc") as log:
        take_steps(
            trainer,
            watch,
            log,
            save=partial(save, trainer, run, copied),
            checkpoint_every=checkpoint_every,
            batch_size=trainer.settings.batch_size,
            stop=stop,
            cure="--learning-rate",
        )
        report = gather(watch.speeds())
        log.conclude(report.scalars(), trainer.step_count)
    if first and trainer.step_count > begun_at:  # the same command after the last step leaves the report as it is
        with publish(run / "saturation.json") as path:
            path.write_text(report.to_json(), encoding="utf-8")
        click.echo(report.verdict.line, err=True)
    return (stop.signal or signal.SIGTERM) if trainer.step_count < trainer.total else None


def find_state(run: Path, settings: CpcSettings) -> dict[str, Any] | None:
    """The newest checkpoint of ``run``, if it has any that belongs."""
    if not checkpoint.checkpoints(run):
        return None
    check_cpc_resume(run, settings)
    return checkpoint.latest(run, set_aside=True)


@click.command(context_settings={"show_default": True})
@options.shards
@options.run
@options.length
@options.splits
@options.sample_rate
@click.option("--crop-frames", type=click.IntRange(min=1), help="Samples of a sequence  [default: SampleCNN's crop]")
@click.option("--batch-size", default=64, help="Sequences in a global batch, over all processes.")
@click.option("--width", default=512, help="Filters of the encoder's convolutions.")
@click.option("--context", default=256, help="Hidden units of the GRU: the features of a window.")
@click.option("--predictions", default=20, help="Steps ahead that are predicted, of 480 samples each.")
@click.option("--negatives", default=15, help="Latents of the batch that each prediction is compared with.")
@click.option("--batch-norm/--no-batch-norm", default=False, help="Batch normalisation behind every convolution.")
@click.option("--learning-rate", default=3e-4, help="Of Adam.")
@options.seed()
@click.option("--precision", type=click.Choice(PRECISIONS), default="float32")
@options.reading
@options.depth
@options.checkpoint_every
@options.checkpoints
@options.placement
@one_line_errors()
def main(
    run: Path,
    shards: tuple[str, ...],
    more_shards: tuple[str, ...],
    checkpoint_every: int,
    checkpoints: str | None,
    device: str,
    threads: int | None,
    **values: Any,
) -> None:
    """Train CPC without labels. The same command again goes on where it was."""
    settings = CpcSettings(shards=shards + more_shards, **values)
    with ExitStack() as signals, placed(device, threads) as place, run_folder(run, place, checkpoints) as folder:
        from_first(lambda: folder.fetch(lambda copies: check_cpc_resume(copies, settings)))
        trainer = CpcTrainer(settings, place, from_first(lambda: find_state(run, settings)))
        with trainer.loader:
            if place.first:
                click.echo(f"loader: {trainer.loader.description}", err=True)
                save_config(run, trainer.config())
            stop = signals.enter_context(StopRequest())  # until all is left, as in train/pretrain.py
            stopped_by = train(trainer, run, checkpoint_every, stop, copied=folder.saved)
        where = f"step {trainer.step_count} of {trainer.total}"
    end(run, where, stopped_by, first=place.first)


if __name__ == "__main__":
    main()
