"""The same optimiser steps three ways: a plain loop, the trainer on batches in memory, the trainer with its loader.

All take the same batches in the same order; those that wait in memory are fetched from the loader before a turn's clock
starts. (What a step costs depends on the augmentations that its batch draws, so other batches would be another work.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from clmr import ContrastiveModel, Projector, SampleCNN, nt_xent_loss
from clmr.augment import Views
from loaders import Batch, PairLoader
from loaders.saturation.measure import endless, synchronise
from loaders.saturation.watch import SaturationLog
from train.precision import tf32
from train.pretrain import Saver
from train.ranks.launch import barrier, placed
from train.runs.log import RunLog
from train.runs.preempt import StopRequest
from train.settings import PretrainSettings
from train.steps import take_steps
from train.trainer import Trainer

CHECKED = 3  # steps after which the trainer's weights are compared with the plain loop's
CHECKPOINT_EVERY = 500  # steps, the default of train/pretrain.py
LONG = 1_000_000  # steps: no turn reaches the end of the run

Turn = Callable[[], float]


class Fetched:
    """A loader whose batches lie in memory before they are asked for; all else is the real one's."""

    def __init__(self, loader: PairLoader) -> None:
        self._loader = loader
        self._endless = endless(loader)
        self._there: list[Batch] = []

    def fetch(self, count: int) -> list[Batch]:
        """Bring the loader's next batches into memory of their own."""
        self._there = [replace(batch, pcm=batch.pcm.clone()) for batch in islice(self._endless, count)]
        return self._there

    def __iter__(self) -> Iterator[Batch]:
        while self._there:
            yield self._there.pop(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class Plain:
    """The step with nothing around it: model, views, loss, optimiser."""

    def __init__(self, settings: PretrainSettings, sample_rate: int, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        encoder = SampleCNN(sample_rate=sample_rate, width=settings.width)
        self.model = ContrastiveModel(encoder, Projector(settings.width, out=settings.projection)).to(device)
        self.views = Views.preset(settings.augment, sample_rate)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate, fused=True)
        self.temperature, self.bf16, self.device = settings.temperature, settings.precision == "bf16", device

    def step(self, batch: Batch) -> None:
        """One step."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            z = self.model(self.views(batch.pcm, batch.keys))
        loss = nt_xent_loss(z[0], z[1], self.temperature)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


class Stopwatch:
    """Seconds spent in its contexts."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count."""
        begin = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - begin


class TimedLog(RunLog):
    """The log, and what it costs to have it on the disk before a checkpoint."""

    def __init__(self, stopwatch: Stopwatch, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stopwatch = stopwatch

    def settle(self) -> None:
        """As of the log."""
        with self._stopwatch.running():
            super().settle()


def settings_of(shards: str, pairs: int, width: int, augment: str, precision: str) -> PretrainSettings:
    """A run of the settings that matter to the speed."""
    return PretrainSettings(
        shards=(shards,), batch_size=pairs, width=width, augment=augment, precision=precision, steps=LONG
    )


def plain(
    shards: str, pairs: int, width: int, augment: str, steps: int, device: str, threads: int, precision: str = "float32"
) -> Turn:
    """The step written out: views, model, loss, Adam, on batches in memory; no log, no checkpoint, nothing measured."""
    settings = settings_of(shards, pairs, width, augment, precision)
    contexts = ExitStack()
    place = contexts.enter_context(placed(device, threads))
    loader = PairLoader(shards, batch_size=pairs, seed=settings.seed, device=place.device)
    fetched, bare = Fetched(loader), Plain(settings, loader.sample_rate, place.device)
    for batch in fetched.fetch(CHECKED):
        bare.step(batch)

    def turn(_placed: ExitStack = contexts) -> float:
        batches = fetched.fetch(steps)
        synchronise(place.device)
        with tf32(allowed=False):
            begin = time.perf_counter()
            for batch in batches:
                bare.step(batch)
            synchronise(place.device)
            return 2 * pairs * steps / (time.perf_counter() - begin)

    return turn


class Run:
    """A run of the trainer that takes some steps whenever it is told to.

    Every turn ends with a checkpoint. A run writes one every 500 steps, so of its time a share of steps / 500 counts.
    """

    def __init__(self, settings: PretrainSettings, device: str, threads: int, *, in_memory: bool) -> None:
        self.contexts = ExitStack()  # open as long as this object is there
        place = self.contexts.enter_context(placed(device, threads))
        folder = Path(self.contexts.enter_context(TemporaryDirectory(prefix="clmr-bench-run-")))
        self.trainer = Trainer(settings, place)
        self.contexts.enter_context(self.trainer.loader)
        self.fetched = Fetched(self.trainer.loader) if in_memory else None
        self.watch = SaturationLog(self.fetched or self.trainer.loader, rank=place.rank)  # type: ignore[arg-type]
        self.stopwatch = Stopwatch()
        self.log = TimedLog(self.stopwatch, folder, start=0, total=LONG, active=place.first)
        self.contexts.enter_context(self.log)
        self.save = Saver(self.trainer, folder)

    def take(self, steps: int, look: Callable[[Batch], None] = lambda batch: None) -> float:
        """Views per second of all ranks together, in so many steps."""
        if self.fetched:
            self.fetched.fetch(steps)
        synchronise(self.trainer.place.device)
        barrier()
        self.trainer.total = self.trainer.step_count + steps
        self.stopwatch.seconds = 0.0
        with StopRequest() as stop:
            begin = time.perf_counter()
            take_steps(
                self.trainer,
                self.watch,
                self.log,
                save=self._save,
                checkpoint_every=LONG,  # one at the end
                batch_size=self.trainer.settings.batch_size,
                stop=stop,
                cure="the learning rate",
                look=look,
            )
            passed = time.perf_counter() - begin
        passed -= self.stopwatch.seconds * (1 - steps / CHECKPOINT_EVERY)
        return 2 * self.trainer.settings.batch_size * steps / passed

    def _save(self) -> None:
        with self.stopwatch.running():
            self.save()

    def check(self) -> None:
        """Take the first steps beside the plain loop.

        Raises:
            ValueError: the weights after them are not the plain loop's.
        """
        device = self.trainer.place.device
        bare = Plain(self.trainer.settings, self.trainer.loader.sample_rate, device)
        with tf32(allowed=False):
            self.take(CHECKED, look=bare.step)
        for (name, ours), theirs in zip(self.trainer.model.named_parameters(), bare.model.parameters(), strict=True):
            # On a GPU sums may come in another order from one run to the next. Where a gradient is rounding alone, as
            # some numbers' and that of every convolution's bias is, Adam moves by its sign: 3e-4 a step either way.
            apart = float((ours.detach() - theirs.detach()).norm() / theirs.detach().norm().clamp(min=1))
            alike = torch.equal(ours, theirs) if device.type == "cpu" else apart <= 1e-2 or name.endswith(".0.bias")
            if not alike:
                raise ValueError(f"{name} is not what the plain loop makes of it")


def trained(
    shards: str,
    pairs: int,
    width: int,
    augment: str,
    steps: int,
    device: str,
    threads: int,
    precision: str = "float32",
    *,
    in_memory: bool,
) -> Turn:
    """train.steps.take_steps with train.trainer.Trainer: account of the waiting, log every 10 steps, checkpoints."""
    run = Run(settings_of(shards, pairs, width, augment, precision), device, threads, in_memory=in_memory)
    try:
        run.check()
    except BaseException:
        run.contexts.close()
        raise
    return lambda: run.take(steps)
