"""The ceilings of a run, measured before it begins: the consumer alone and the loader alone. The run stays as it was.

The consumer does real optimiser steps on one batch, but on a twin of the model and its optimiser: whatever a step
changes (weights, moments, batch-norm statistics, gradients, how DistributedDataParallel cuts its buckets), it changes
in the twin.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
import torch.distributed as dist

from loaders.batch import Batch
from loaders.saturation.figures import LoaderAlone, RankSpeeds
from loaders.saturation.measure import measure_loader, synchronise
from loaders.saturation.report import Saturation
from train.ranks.launch import barrier, mean_over_ranks
from train.trainer import Trainer

SHARE = 0.05  # of the run that is ahead, for both ceilings
AT_MOST = 3.0  # seconds, likewise
LONG_STEP = 1.0  # seconds; in a short run such steps are too dear to be tried twice


@dataclass(frozen=True)
class Ceilings:
    """What this rank reaches where nothing holds it up; None where the run is too short to spend time on it."""

    consumer_alone: float | None = None
    """Pairs per second of optimiser steps on one batch that stays in memory."""
    loader_alone: LoaderAlone | None = None


def measure_ceilings(trainer: Trainer) -> Ceilings:
    """Measure both, in about 5 % of the run that is ahead and at most 3 s; at the least two steps and two batches.

    That is beside the time of two first batches, and about a second for single requests where the shards are remote.
    Every rank must call it. The loader is put back where it stood, and nothing else is touched.

    Raises:
        ShardError: the shards cannot be read.
        StorageError: likewise.
    """
    steps = trainer.total - trainer.step_count
    if steps <= 0:
        return Ceilings()
    consumer, step_seconds = measure_consumer(trainer, steps)
    barrier()  # ranks of one machine share its disks and cores: they read at the same time, as in the run
    return Ceilings(consumer, measure_loader(trainer.loader, _budget(steps, step_seconds)))


def _budget(steps: int, step_seconds: float) -> float:
    """Seconds for one of the two ceilings of a run of so many steps."""
    return min(AT_MOST, SHARE * steps * step_seconds) / 2


def measure_consumer(trainer: Trainer, steps: int) -> tuple[float | None, float]:
    """Optimiser steps on one batch that stays in memory; every rank must call it, and all take as many.

    Args:
        trainer: it is left as it was.
        steps: those of the run that is ahead; a small part as many are tried.

    Returns:
        Pairs per second of this rank, None where steps are long and few, and the seconds of a step.
    """
    state = trainer.loader.state_dict()
    batch = next(iter(trainer.loader))
    trainer.loader.load_state_dict(state)  # so that nothing is read ahead meanwhile
    twin = _twin(trainer)
    with torch.random.fork_rng([trainer.place.device] if trainer.place.device.type == "cuda" else []):
        seconds = _step_seconds(twin, batch, 1)
        if seconds > LONG_STEP and steps * SHARE < 2:
            return None, seconds
        # The first step compiled the model, made the optimiser's state and took memory for the first time: no measure.
        seconds = _step_seconds(twin, batch, 1)
        count = round(_budget(steps, seconds) / seconds)
        if count > 1:
            seconds = _step_seconds(twin, batch, count)
    return len(batch.pcm) / seconds, seconds


def _twin(trainer: Trainer) -> Trainer:
    """A trainer with a model and an optimiser of its own, in the same state."""
    twin = copy.copy(trainer)
    # Together, so that the copied optimiser holds the copied parameters, and its state where it has one already.
    twin.model, twin.optimizer = copy.deepcopy((trainer.model, trainer.optimizer))
    twin.project = twin.projection_of(twin.model)
    return twin


def _step_seconds(trainer: Trainer, batch: Batch, count: int) -> float:
    """Seconds of a step, from so many of them: the mean over the ranks, hence the same on all."""
    device = trainer.place.device
    synchronise(device)
    begin = time.perf_counter()
    for _ in range(count):
        trainer.step(batch)
    synchronise(device)
    passed = (time.perf_counter() - begin) / count
    return mean_over_ranks(torch.tensor(passed, dtype=torch.float64))[0]


def gather(speeds: RankSpeeds) -> Saturation:
    """The records of all ranks, joined; every rank must call it."""
    everyone: list[RankSpeeds | None] = [speeds]
    if dist.is_initialized():
        everyone = [None] * dist.get_world_size()
        dist.all_gather_object(everyone, speeds)
    return Saturation.of(each for each in everyone if each is not None)
