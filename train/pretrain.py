"""NT-Xent pretraining of a SampleCNN on crop pairs (paper section 2).

    python train/pretrain.py --shards data/shards/mtat --run runs/mtat --epochs 1000
    torchrun --nproc-per-node 4 -- train/pretrain.py --shards data/shards/mtat --run runs/mtat --epochs 1000
    torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 -- train/pretrain.py ...
    python train/pretrain.py --shards data/shards/demo --run runs/small --steps 600 --width 128   # a laptop
    python train/pretrain.py --recipe table2-filter --run runs/filter                             # docs/recipes.md

The same command again goes on from the newest checkpoint, after a kill -9 as after SIGTERM, at any number of processes.
SIGTERM ends it after a checkpoint with exit status 0, Ctrl-C with 130 (torchrun itself reports 1 in both cases).
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from clmr.errors import ConfigError, one_line_errors
from clmr.model import BATCH_STATISTICS
from loaders import Batch
from loaders.saturation.watch import SaturationLog
from sharding.publish import publish
from train import options
from train.augment_choice import log_draws, with_recipe
from train.ceilings import Ceilings, gather, measure_ceilings
from train.memory.out_of_memory import options_that_help
from train.memory.plan import describe
from train.probing.online import OnlineProbe
from train.ranks.launch import from_first, placed
from train.recipe import find_recipe, with_options
from train.runs import checkpoint
from train.runs.ending import end
from train.runs.folder import run_folder
from train.runs.log import RunLog
from train.runs.preempt import StopRequest
from train.settings import OPTIMIZERS, PRETRAIN_PRECISIONS, SCHEDULES, PretrainSettings, check_resume, save_config
from train.steps import take_steps
from train.trainer import Trainer


class Saver:
    """Writes a checkpoint of the trainer, once for each step it is asked at, from the first rank."""

    def __init__(self, trainer: Trainer, run: Path, copied: Callable[[int], None] = lambda step: None) -> None:
        self.trainer, self.run, self.copied = trainer, run, copied
        self.saved = trainer.step_count if checkpoint.checkpoint_path(run, trainer.step_count).exists() else None

    def __call__(self) -> None:
        """Write the checkpoint, unless this step's is there.

        Raises:
            ConfigError: on every rank, when the weights have diverged: no checkpoint ever holds such weights.
        """
        if not all(bool(weights.isfinite().all()) for weights in self.trainer.model.parameters()):
            step = self.trainer.step_count
            raise ConfigError(f"the weights are not finite after step {step}: lower --learning-rate or --temperature")
        if self.saved != self.trainer.step_count and self.trainer.place.first:
            checkpoint.save(self.run, self.trainer.step_count, self.trainer.state())
            self.copied(self.trainer.step_count)
        self.saved = self.trainer.step_count


def train(
    trainer: Trainer,
    run: Path,
    checkpoint_every: int,
    stop: StopRequest,
    *,
    ceilings: bool = True,
    probe_every: int = 0,
    copied: Callable[[int], None] = lambda step: None,
) -> int | None:
    """Train to the last step, or to a signal; the last step done is in a checkpoint either way.

    Args:
        trainer: a fresh or a resumed one.
        run: folder of the run.
        checkpoint_every: steps between checkpoints.
        stop: listens for signals already.
        ceilings: measure first what the trainer and the loader reach alone; it changes nothing but a few seconds.
        probe_every: epochs between linear probes on the shards' own labels; 0 for none. They change nothing either.
        copied: has a checkpoint that was written copied elsewhere, by its step.

    Returns:
        The signal that ended the training before its last step, if one did.
    """
    save = Saver(trainer, run, copied)
    if trainer.step_count == 0:
        save()  # the initial weights: what the pretrained encoder is compared with
    first, begun_at = trainer.place.first, trainer.step_count
    alone = measure_ceilings(trainer) if ceilings else Ceilings()
    watch = SaturationLog(
        trainer.loader,
        consumer_alone=alone.consumer_alone,
        loader_alone=alone.loader_alone,
        rank=trainer.place.rank,
    )

    def look(batch: Batch) -> None:
        if first and trainer.step_count == 0:
            log_draws(run, trainer.views, batch)

    with (
        RunLog(run, start=begun_at, total=trainer.total, active=first) as log,
        OnlineProbe(trainer, run, log, probe_every) as probe,
    ):
        probe.catch_up()
        take_steps(
            trainer,
            watch,
            log,
            save=save,
            checkpoint_every=checkpoint_every,
            batch_size=trainer.settings.batch_size,
            stop=stop,
            cure="--learning-rate or --temperature",
            look=look,
            aside=probe,
        )
        report = gather(probe.without(watch.speeds()))
        log.conclude(report.scalars(), trainer.step_count)
    if first and trainer.step_count > begun_at:  # the same command after the last step leaves the report as it is
        with publish(run / "saturation.json") as path:
            path.write_text(report.to_json(), encoding="utf-8")
        click.echo(report.verdict.line, err=True)
    return (stop.signal or signal.SIGTERM) if trainer.step_count < trainer.total else None


def find_state(run: Path, settings: PretrainSettings) -> tuple[str | None, dict[str, Any] | None]:
    """The text of the recipe, if there is one, and the newest checkpoint of ``run``, if it has any that belongs."""
    recipe = with_recipe(settings, run).recipe
    if not checkpoint.checkpoints(run):
        return recipe, None
    check_resume(run, settings)
    return recipe, checkpoint.latest(run, set_aside=True)


@click.command(context_settings={"show_default": True})
@click.option(
    "--recipe",
    "recipe_name",
    metavar="NAME",
    help="A run of the paper, by its name in train/recipes, or a TOML file; options given beside it override it.",
)
@options.shards
@options.run
@options.length
@options.splits
@options.sample_rate
@click.option("--batch-size", default=96, help="Pairs in a global batch, over all processes.")
@click.option("--width", default=512, help="Length of the representation; 512 is the paper's encoder.")
@click.option("--projection", default=128, help="Length of the projection the loss sees.")
@click.option(
    "--batch-statistics", type=click.Choice(BATCH_STATISTICS), default="view", help="Batch norm per view, or over both."
)
@click.option("--temperature", default=0.5, help="Temperature of NT-Xent.")
@click.option("--learning-rate", default=3e-4, help="After the warm-up; lars takes values near 1.")
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), default="adam", help="lars is for large batches.")
@click.option("--weight-decay", default=0.0, help="Of all parameters with adam, of weight tensors alone with lars.")
@click.option("--schedule", type=click.Choice(SCHEDULES), default="constant", help="Learning rate after the warm-up.")
@click.option("--warmup-epochs", default=0, help="Epochs over which the learning rate rises.")
@click.option("--warmup-steps", default=0, help="The same in steps.")
@click.option("--augment", default="paper", help="Augmentations: paper, official, crop, or the TOML file of a recipe.")
@click.option(
    "--probability",
    multiple=True,
    metavar="NAME=P",
    help="Apply one augmentation to another share of the views, such as pitch=0.8; may be repeated.",
)
@options.seed()
@click.option(
    "--precision",
    type=click.Choice(PRETRAIN_PRECISIONS),
    default="float32",
    help="Of encoder and projector; the loss is float32 at the least. A device without TF32 takes float32 for tf32.",
)
@click.option("--compile/--no-compile", default=False, help="Compile the model; the first step then takes minutes.")
@click.option("--fused/--no-fused", default=False, help="Keep less for the backward pass and compute it again.")
@options.reading
@click.option(
    "--pairs-per-read",
    type=click.IntRange(min=1),
    default=1,
    help="Batches in a row of the same tracks; an epoch has so many times the steps.",
)
@options.depth
@click.option("--shuffle", type=click.IntRange(min=1), help="Pairs that the webdataset backend mixes in memory.")
@click.option("--quiet-db", type=float, help="Avoid crops so many dB below their track's loudest, such as 20.")
@click.option(
    "--ceilings/--no-ceilings",
    default=True,
    help="Measure for a few seconds what trainer and loader reach alone, for the verdict at the end.",
)
@options.checkpoint_every
@options.checkpoints
@click.option(
    "--probe-every",
    type=click.IntRange(min=0),
    default=0,
    help="Epochs between linear probes on the shards' own labels, 0 for none; they change nothing of the training.",
)
@options.placement
@click.option("--memory-plan", is_flag=True, help="Print what memory this run needs, and with other options; no more.")
@one_line_errors()
def main(
    run: Path,
    recipe_name: str | None,
    shards: tuple[str, ...],
    more_shards: tuple[str, ...],
    checkpoint_every: int,
    checkpoints: str | None,
    device: str,
    threads: int | None,
    *,
    ceilings: bool,
    probe_every: int,
    memory_plan: bool,
    **values: Any,
) -> None:
    """Pretrain an encoder without labels. The same command again goes on where it was."""
    values["shards"] = shards + more_shards
    source = click.get_current_context().get_parameter_source
    given = {name for name in values if source(name) is not ParameterSource.DEFAULT}
    with (
        ExitStack() as signals,
        placed(device, threads) as place,
        run_folder(run, place, checkpoints, writes=not memory_plan) as folder,
    ):
        recipe = from_first(lambda: find_recipe(recipe_name, run)) if recipe_name is not None else None
        settings = with_options(recipe, values, given)
        if memory_plan:
            if place.first:
                click.echo(describe(settings, place))
            return
        from_first(lambda: folder.fetch(lambda copies: check_resume(copies, settings)))
        chain, state = from_first(lambda: find_state(run, settings))
        with options_that_help(settings, settings.sample_rate, place):
            trainer = Trainer(replace(settings, recipe=chain), place, state)
        with options_that_help(settings, trainer.loader.sample_rate, place), trainer.loader:
            if place.first:
                click.echo(f"loader: {trainer.loader.description}", err=True)
                about = {"recipe": recipe.record(trainer.settings)} if recipe else {}
                save_config(run, trainer.config() | about)
            # Until all is left: torchrun's SIGTERM, when another rank has failed, must not cut off the last words.
            stop = signals.enter_context(StopRequest())
            stopped_by = train(
                trainer, run, checkpoint_every, stop, ceilings=ceilings, probe_every=probe_every, copied=folder.saved
            )
        where = f"step {trainer.step_count} of {trainer.total}"
    end(run, where, stopped_by, first=place.first)


if __name__ == "__main__":
    main()
