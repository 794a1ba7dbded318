"""The supervised SampleCNN that the paper compares with: end to end on labelled windows (Table 1, Figures 5 and 6).

    python train/supervised.py --shards data/shards/mtat --run runs/mtat-supervised
    torchrun --nproc-per-node 4 -- train/supervised.py --shards data/shards/mtat --run runs/mtat-supervised
    python train/supervised.py --shards data/shards/mtat --run runs/mtat-1 --label-fraction 0.01

Trains until the validation split gains nothing for --patience epochs, then scores the test split once with the weights
of the best epoch: scores.json and tags.csv, as of train/probe.py. The same command again goes on from the newest
checkpoint, after a kill -9 as after SIGTERM, at any number of processes.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from clmr.errors import ConfigError, ShardError, StorageError, one_line_errors
from sharding.publish import publish
from train import options
from train.labelled.data import LabelledSplits
from train.labelled.log import SupervisedLog
from train.labelled.scores import AGGREGATION, describe, predict, score_tracks
from train.labelled.settings import TASKS, SupervisedSettings, build_chain, check_resume, read_augment
from train.labelled.trainer import SupervisedTrainer
from train.probing.scores import write_tags
from train.ranks.launch import barrier, from_first, mean_over_ranks, placed
from train.runs import checkpoint
from train.runs.ending import end
from train.runs.folder import run_folder
from train.runs.preempt import StopRequest
from train.settings import PRECISIONS, save_config
from train.steps import LOG_EVERY

DEFAULT = SupervisedSettings(shards="")


class Saver:
    """Writes a checkpoint of the trainer from the first rank, once for each state it is asked in."""

    def __init__(self, trainer: SupervisedTrainer, run: Path, copied: Callable[[int], None]) -> None:
        self.trainer, self.run, self.copied = trainer, run, copied
        there = checkpoint.checkpoint_path(run, trainer.step_count).exists()
        self._saved = (trainer.step_count, trainer.epochs_done) if there else None

    def __call__(self) -> None:
        """Write the checkpoint, unless it is there.

        Raises:
            ConfigError: on every rank, when the weights have diverged: no checkpoint ever holds such weights.
        """
        self.trainer.check_finite()
        now = (self.trainer.step_count, self.trainer.epochs_done)
        if self._saved != now and self.trainer.place.first:
            checkpoint.save(self.run, self.trainer.step_count, self.trainer.state())
            self.copied(self.trainer.step_count)
        self._saved = now


def train(
    trainer: SupervisedTrainer,
    run: Path,
    checkpoint_every: int,
    stop: StopRequest,
    *,
    copied: Callable[[int], None] = lambda step: None,
) -> bool:
    """Train until it is finished, or to a signal; the last step done is in a checkpoint either way.

    Returns:
        True if it is finished.
    """
    save = Saver(trainer, run, copied)
    if trainer.step_count == 0:
        save()
    total = trainer.settings.epochs * trainer.steps_per_epoch
    windows_per_step = trainer.data.train.windows_used / trainer.steps_per_epoch
    since, logged = time.perf_counter(), trainer.step_count
    with (
        SupervisedLog(run, start=logged, total=total, active=trainer.place.first) as log,
        closing(trainer.batches()) as batches,
    ):

        def end_epoch() -> None:
            scores = trainer.validate()
            log.write(
                {
                    "step": trainer.step_count,
                    "epoch": trainer.epochs_done,
                    "validation_roc_auc": scores.roc_auc,
                    "validation_pr_auc": scores.pr_auc,
                    "best_epoch": trainer.best_epoch,
                }
            )
            save()

        try:
            if trainer.epoch_is_due:
                end_epoch()
            while not (trainer.finished or stop.agreed()):
                loss = trainer.step(next(batches))
                log.advance()
                step = trainer.step_count
                if step % LOG_EVERY == 0 or trainer.epoch_is_due:
                    (mean,) = mean_over_ranks(loss)
                    if not math.isfinite(mean):
                        raise ConfigError(f"the loss is {mean} at step {step}: lower --learning-rate")
                    now = time.perf_counter()
                    rate = (step - logged) * windows_per_step / (now - since)
                    log.write(
                        {"step": step, "epoch": trainer.epochs_done + 1, "loss": mean, "windows_per_second": rate}
                    )
                    since, logged = now, step
                if trainer.epoch_is_due:
                    end_epoch()
                    since = time.perf_counter()  # validation is not training
                elif step % checkpoint_every == 0:
                    save()
        except (ShardError, StorageError):
            save()  # the steps that are done are not lost with the storage
            raise
        save()
    return trainer.finished


def evaluate(trainer: SupervisedTrainer, run: Path) -> None:
    """Score the test split with the best weights and publish scores.json and tags.csv; every rank must call it."""
    trainer.load_best()
    data, settings = trainer.data, trainer.settings
    probability = predict(trainer.model, data.test, data.task, trainer.dtype)
    if not trainer.place.first:
        return
    test = score_tracks(data.test.labels, probability, data.test.label_names, data.task)
    windows = {name: loader.total_windows for name, loader in data.loaders.items()}
    protocol = {
        "dataset": data.dataset,
        "sample_rate": trainer.sample_rate,
        "task": data.task,
        "tracks": {name: len(loader.tracks) for name, loader in data.loaders.items()}
        | {"train": int(data.train.used.sum())},
        "windows": windows | {"train": data.train.windows_used},
        "label_fraction": settings.label_fraction,
        "subset_seed": settings.songs_seed,
        "untagged": "included; left out of the item-wise scores",
        "aggregation": AGGREGATION[data.task],
        "selection": "best epoch by mean of tag-wise ROC-AUC and PR-AUC on the validation tracks",
        "best_epoch": trainer.best_epoch,
        "epochs": trainer.epochs_done,
        "validation_score": trainer.best_score,
        "seed": settings.seed,
        "width": settings.width,
    }
    result = {"protocol": protocol, "test": test}
    write_tags([test], run / "tags.csv")
    with publish(run / "scores.json") as path:
        path.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    click.echo(describe(result))


def with_augment(settings: SupervisedSettings) -> SupervisedSettings:
    """The settings with the text of the augmentations' recipe, where they come from a file."""
    return replace(settings, recipe=read_augment(settings))


def find_state(run: Path, settings: SupervisedSettings) -> tuple[str | None, dict[str, Any] | None]:
    """The text of the recipe, if there is one, and the newest checkpoint of ``run``, if it has any that belongs."""
    settings = with_augment(settings)
    recipe = settings.recipe
    build_chain(settings, sample_rate=22050)  # mistakes show before any shard is opened
    if not checkpoint.checkpoints(run):
        return recipe, None
    check_resume(run, settings)
    return recipe, checkpoint.latest(run, set_aside=True)


@click.command(context_settings={"show_default": True})
@click.option("--shards", required=True, help="Folder of labelled shards, by path or URL.")
@options.run
@click.option("--task", type=click.Choice(TASKS), default=DEFAULT.task, help="auto: classes if each track has one.")
@click.option("--label-fraction", default=DEFAULT.label_fraction, help="Share of the train split's songs, 0.01 to 1.")
@click.option("--subset-seed", type=int, help="Of the songs of that share, as of train/probe.py  [default: --seed]")
@options.sample_rate
@click.option("--batch-size", default=DEFAULT.batch_size, help="Windows in a global batch, over all processes.")
@click.option("--epochs", default=DEFAULT.epochs, help="Passes over the windows at most.")
@click.option("--patience", default=DEFAULT.patience, help="Epochs without gain on the validation split.")
@click.option("--width", default=DEFAULT.width, help="Length of the representation; 512 is the paper's encoder.")
@click.option("--dropout", default=DEFAULT.dropout, help="Share of the representation dropped in training.")
@click.option("--learning-rate", default=DEFAULT.learning_rate, help="Of Adam.")
@click.option("--weight-decay", default=DEFAULT.weight_decay, help="Of Adam.")
@click.option("--augment", default=DEFAULT.augment, help="crop (none), paper, official, or the TOML file of a recipe.")
@options.seed("Of weights and draws.")
@click.option("--precision", type=click.Choice(PRECISIONS), default=DEFAULT.precision)
@options.checkpoint_every
@options.checkpoints
@options.placement
@one_line_errors()
def main(
    run: Path, checkpoint_every: int, checkpoints: str | None, device: str, threads: int | None, **values: Any
) -> None:
    """Train an encoder and a classifier on labels. The same command again goes on where it was."""
    settings = SupervisedSettings(**values)
    with ExitStack() as signals, placed(device, threads) as place, run_folder(run, place, checkpoints) as folder:
        # What the copies have to be a run of, its augmentations included.
        from_first(lambda: folder.fetch(lambda copies: check_resume(copies, with_augment(settings))))
        recipe, state = from_first(lambda: find_state(run, settings))
        with LabelledSplits(settings, place) as data:
            stop = signals.enter_context(StopRequest())  # until all is left, as in train/pretrain.py
            trainer = SupervisedTrainer(replace(settings, recipe=recipe), data, place, state)
            if place.first:
                save_config(run, trainer.config())
            finished = train(trainer, run, checkpoint_every, stop, copied=folder.saved)
            if place.first:
                save_config(run, trainer.config())  # how many steps it came to
            if finished:
                evaluate(trainer, run)
            barrier()  # no rank leaves while the first one writes
        where = f"step {trainer.step_count}, epoch {trainer.epochs_done}, best epoch {trainer.best_epoch}"
    end(run, where, None if finished else stop.signal or signal.SIGTERM, first=place.first)


if __name__ == "__main__":
    main()
