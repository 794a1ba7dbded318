"""The loop over a run's steps, whatever a step is: batches, the log, checkpoints, signals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from torch import Tensor

from clmr.errors import ConfigError, ShardError, StorageError
from loaders import Batch
from loaders.saturation.watch import SaturationLog
from train.moments import Moment, memory_gib
from train.ranks.launch import Place
from train.runs.late_values import LateValues, Reading
from train.runs.log import RunLog
from train.runs.preempt import StopRequest

LOG_EVERY = 10  # steps between lines of the log; values are fetched from the device only then


class Stepping(Protocol):
    """What takes the steps."""

    step_count: int
    total: int
    place: Place

    @property
    def learning_rate(self) -> float:
        """Of the step just done."""
        ...

    def step(self, batch: Batch, *, measure: bool = False) -> dict[str, Tensor]:
        """One optimiser step; scalars on the device, whose mean over ranks is the run's, at least the ``loss``.

        With ``measure`` also what is worth its time at the steps that are logged only.
        """
        ...


class _Note(NamedTuple):
    """What the host knows of a logged step."""

    epoch: int
    pairs: int
    """Trained on since the moment ``since``."""
    since: Moment
    scalars: dict[str, float]


class LoggedSteps:
    """Lines of the log, written when the device's values have arrived.

    Args:
        log: of the first rank.
        place: of the trainer.
        step: the last step done.
        batch_size: pairs in a global batch.
        cure: the options to change when the loss diverges.
    """

    def __init__(self, log: RunLog, place: Place, step: int, *, batch_size: int, cure: str) -> None:
        self._log, self._place, self._batch_size, self._cure = log, place, batch_size, cure
        self._late: LateValues[_Note] = LateValues(place.device)
        self._step, self._since = step, Moment(place.device)

    def ask(self, trainer: Stepping, batch: Batch, values: dict[str, Tensor], watch: SaturationLog) -> None:
        """The step just done is to be logged; every rank must call it."""
        here = {"learning_rate": trainer.learning_rate, "memory_gib": memory_gib(self._place.device)}
        pairs = (trainer.step_count - self._step) * self._batch_size
        note = _Note(batch.epoch, pairs, self._since, here | watch.scalars())
        self._late.ask(trainer.step_count, values, note)
        self._step, self._since = trainer.step_count, Moment(self._place.device)

    def passed(self, step: int) -> None:
        """A step is done: write what is due by then.

        Raises:
            ConfigError: on every rank, when the loss has diverged.
        """
        for reading in self._late.due(step):
            self._write(reading)

    def settle(self) -> None:
        """Write all that is under way, and have it on the disk.

        Raises:
            ConfigError: as of :meth:`passed`.
        """
        for reading in self._late.rest():
            self._write(reading)
        self._log.settle()

    def leave_out(self, step: int, watch: SaturationLog) -> None:
        """What passed since ``step`` was no training: the next line's pace is that of the steps from here on."""
        watch.scalars()
        self._step, self._since = step, Moment(self._place.device)

    def _write(self, reading: Reading[_Note]) -> None:
        for name, value in reading.values.items():
            if not math.isfinite(value):
                what = name.replace("_", " ")
                raise ConfigError(f"the {what} is {value} at step {reading.step}: lower {self._cure}")
        epoch, pairs, since, scalars = reading.note
        pace = {"pairs_per_second": pairs / reading.arrival.seconds_since(since)}
        self._log.write({"step": reading.step, "epoch": epoch, **reading.values, **pace, **scalars})


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
    aside: Callable[[], bool] = lambda: False,
) -> None:
    """Train to the last step, or to a signal; the last step done is in a checkpoint either way.

    No checkpoint is written before the lines of the steps up to it are, so the log of a run that goes on from there
    has no gap, whenever it was killed.

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
        aside: called behind every step that a signal does not end the run at, on every rank; True if it spent time on
            something else than training.

    Raises:
        ConfigError: on every rank, when the loss has diverged.
        ShardError: as of the loader, after a checkpoint.
        StorageError: likewise.
    """
    lines = LoggedSteps(log, trainer.place, trainer.step_count, batch_size=batch_size, cure=cure)

    def checkpoint() -> None:
        lines.settle()
        save()

    @contextmanager
    def reading() -> Iterator[None]:
        try:
            yield
        except (ShardError, StorageError):
            checkpoint()  # the steps that are done are not lost with the storage
            raise

    stopping = stop.agreed()
    while not stopping and trainer.step_count < trainer.total:
        with reading():
            batch = watch.take()
        look(batch)
        ahead = trainer.step_count + 1
        values = trainer.step(batch, measure=ahead % LOG_EVERY == 0 or ahead == trainer.total)
        watch.stepped()
        log.advance()
        step = trainer.step_count
        stopping = stop.agreed()
        if step % LOG_EVERY == 0 or step == trainer.total or stopping:
            lines.ask(trainer, batch, values, watch)
        lines.passed(step)
        if step % checkpoint_every == 0 or step == trainer.total:
            checkpoint()
        with reading():
            if not stopping and aside():
                lines.leave_out(step, watch)
    checkpoint()
