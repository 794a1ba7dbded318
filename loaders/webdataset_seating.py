"""Where an arriving pair is put: a row of one of several batches that fill up side by side.

The usual shuffle buffer holds samples and gives out a random one. Here the buffer is the next batches themselves: a
pair that arrives takes a random free row in one of ``width`` open batches, so it is copied once, into the memory that
is delivered, and every rank knows at once whether the row is its own. A batch is delivered when it is full, the oldest
first, and another one opens. A batch takes one track of a song, so the pairs of one track, and the tracks of one song,
never meet in a global batch, on whichever ranks their rows are.

Everything follows from (seed, epoch) and the order of arrival.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from loaders.order import Integers, hash_bits

CROWDED = 0.75  # of the rows of all open batches; from there on arrivals complete the oldest
DRAWN = 4096  # arrivals whose random bits are drawn at a time


@dataclass(eq=False)
class _Filling:
    """An open batch."""

    step: int
    songs: set[str] = field(default_factory=set)
    """One for each row that is taken."""


class Seating:
    """Gives the pairs of one epoch their rows.

    Batches open gradually, so that the first one is full after about twice its rows.

    Args:
        batch_size: rows of a global batch.
        steps: batches of the epoch.
        width: batches that are open at once, when all are.
        first_width: of them, those that are open at the beginning, at least 1.
        seed: of the run.
        epoch: its number.
    """

    def __init__(self, *, batch_size: int, steps: int, width: int, first_width: int, seed: int, epoch: int) -> None:
        self._batch_size = batch_size
        self._steps = steps
        self._width = width
        self._first_width = first_width
        self._random = seed, epoch
        self._arrived = 0
        self._drawn: Integers = np.empty(0, dtype=np.int64)
        self._open: deque[_Filling] = deque()
        self._opened = 0
        self._taken = 0  # rows of the open batches
        self._open_more()

    @property
    def done(self) -> bool:
        """Whether all batches of the epoch are full."""
        return not self._open

    def seat(self, song: str) -> tuple[int, int] | None:
        """Step and row for the next pair that arrives; None where no open batch may take it.

        Call :meth:`full` after each.
        """
        bits = self._next_bits()
        crowded = self._taken >= CROWDED * self._batch_size * len(self._open) and self._opened < self._steps
        if crowded and song not in self._open[0].songs:
            return self._take(self._open[0], song)
        # Every free row is equally likely: a number below their sum, counted off batch by batch.
        possible = [batch for batch in self._open if song not in batch.songs]
        free = [self._batch_size - len(batch.songs) for batch in possible]
        if not any(free):
            return None
        number = bits % sum(free)
        for batch, rows in zip(possible, free, strict=True):
            if number < rows:
                return self._take(batch, song)
            number -= rows
        raise AssertionError(number)

    def full(self) -> list[int]:
        """The batches that can be delivered now, in order; each is named once."""
        steps = []
        while self._open and len(self._open[0].songs) == self._batch_size:
            self._taken -= self._batch_size
            steps.append(self._open.popleft().step)
            self._open_more()
        return steps

    def _take(self, batch: _Filling, song: str) -> tuple[int, int]:
        row = len(batch.songs)
        batch.songs.add(song)
        self._taken += 1
        return batch.step, row

    def _open_more(self) -> None:
        delivered = self._opened - len(self._open)
        while len(self._open) < min(self._width, self._first_width + delivered) and self._opened < self._steps:
            self._open.append(_Filling(self._opened))
            self._opened += 1

    def _next_bits(self) -> int:
        number = self._arrived % DRAWN
        if number == 0:
            arrivals = np.arange(self._arrived, self._arrived + DRAWN)
            self._drawn = (hash_bits(*self._random, arrivals, "webdataset.seat") >> np.uint64(1)).astype(np.int64)
        self._arrived += 1
        return int(self._drawn[number])
