"""The loop over a run's steps, whatever a step is: batches, the log, checkpoints, signals."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from clmr.errors import ConfigError, ShardError, StorageError
from loaders import Batch
from loaders.saturation.watch import SaturationLog
from train.launch import mean_over_ranks
from train.preempt import StopRequest
from train.runlog import RunLog

LOG_EVERY = 10  # steps between lines of the log; the loss is fetched from the device only then


class Stepping(Protocol):
    """What takes the steps."""

    step_count: int
    total: int

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One optimiser step; this rank's loss and accuracy, still on the device."""
        ...


def take_steps(
    trainer: Stepping,
    watch: SaturationLog,
    log: RunLog,
    *,
    save: Callable[[], None],
    checkpoint_every: int,
    batch_size: int,
    stop: StopRequest,
    cure: str,
    look: Callable[[Batch], None] = lambda batch: None,
) -> None:
    """Train to the last step, or to a signal; the last step done is in a checkpoint either way.

    Args:
        trainer: a fresh or a resumed one.
        watch: gives the batches.
        log: of the first rank.
        save: writes a checkpoint, on every rank.
        checkpoint_every: steps between checkpoints.
        batch_size: pairs in a global batch.
        stop: listens for signals already.
        cure: the options to change when the loss diverges.
        look: sees every batch before its step.

    Raises:
        ConfigError: on every rank, when the loss has diverged.
        ShardError: as of the loader, after a checkpoint.
        StorageError: likewise.
    """
    since, logged = time.perf_counter(), trainer.step_count
    ending = stop.agreed() or trainer.step_count >= trainer.total
    while not ending:
        try:
            batch = watch.take()
        except (ShardError, StorageError):
            save()  # the steps that are done are not lost with the storage
            raise
        look(batch)
        loss, accuracy = trainer.step(batch)
        watch.stepped()
        log.advance()
        step = trainer.step_count
        ending = stop.agreed() or step == trainer.total
        if step % LOG_EVERY == 0 or ending:
            mean_loss, mean_accuracy = mean_over_ranks(loss, accuracy)
            if not math.isfinite(mean_loss):
                raise ConfigError(f"the loss is {mean_loss} at step {step}: lower {cure}")
            now = time.perf_counter()
            log.write(
                {
                    "step": step,
                    "epoch": batch.epoch,
                    "loss": mean_loss,
                    "contrastive_accuracy": mean_accuracy,
                    "pairs_per_second": (step - logged) * batch_size / (now - since),
                    **watch.scalars(),
                }
            )
            since, logged = now, step
        if step % checkpoint_every == 0:
            save()
    save()
