"""The shuffle buffer: pairs wait in it for a batch. A batch never takes two of one song.

All ranks put the same pairs in, so all take the same global batches out, and each keeps its own rows of them: a song
does not meet itself on another rank either. Everything follows from (seed, epoch) and the order of arrival.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np

from loaders.order.epochs import Integers, hash_bits

STEP_BIT = 40  # arrivals are numbered below it

Pair = TypeVar("Pair")


class MixingPool(Generic[Pair]):
    """Pairs that wait, for one epoch.

    Batches come before the pool is full: the first after about twice its rows, each one after more.

    Args:
        batch_size: rows of a global batch.
        steps: batches of the epoch.
        size: pairs that wait, at most.
        seed: of the run.
        epoch: its number.
    """

    def __init__(self, *, batch_size: int, steps: int, size: int, seed: int, epoch: int) -> None:
        self._batch_size = batch_size
        self._steps = steps
        self._size = size
        self._random = seed, epoch
        self._step = 0  # of the next batch
        self._arrived = 0
        self._waiting: dict[int, tuple[str, Pair]] = {}  # by number of arrival
        self._songs: Counter[str] = Counter()

    @property
    def missing(self) -> int:
        """Pairs that have to be added before :meth:`rest` can fill the rest of the epoch; 0 or less where it can."""
        steps = self._steps - self._step
        return steps * self._batch_size - sum(min(count, steps) for count in self._songs.values())

    def admits(self, song: str, *, only_missing: bool = False) -> bool:
        """Whether a pair of this song can be added.

        A full pool has no place for a song that it knows; such pools hold too few songs for a batch.

        Args:
            song: of the pair.
            only_missing: leave out what does not make :attr:`missing` smaller.
        """
        known = self._songs.get(song, 0)
        if only_missing and known >= self._steps - self._step:
            return False
        return known == 0 or len(self._waiting) < self._size

    def add(self, song: str, pair: Pair) -> Pair | None:
        """Put in a pair that is admitted; one of the commonest song that has to go for it, where the pool is full."""
        gone = None
        if len(self._waiting) >= self._size:
            commonest = self._songs.most_common(1)[0][0]
            gone = self._take(next(number for number, (song, _) in self._waiting.items() if song == commonest))
        self._waiting[self._arrived] = song, pair
        self._songs[song] += 1
        self._arrived += 1
        return gone

    def batch(self) -> list[Pair] | None:
        """The next batch, if enough pairs wait to choose from: the first ones, in random order, of different songs."""
        enough = min(self._size, self._batch_size * (2 + self._step))
        if len(self._waiting) < enough or len(self._songs) < self._batch_size or self._step == self._steps:
            return None
        chosen: dict[str, int] = {}
        for number in self._shuffled(self._numbers(), "pick"):
            chosen.setdefault(self._waiting[number][0], number)
            if len(chosen) == self._batch_size:
                break
        self._step += 1
        return [self._take(number) for number in chosen.values()]

    def rest(self) -> Iterator[list[Pair]]:
        """The remaining batches, where no more pairs come and none is :attr:`missing`.

        Write the songs in random order, the pairs of a song side by side and at most ``steps`` of each, as one
        sequence. With ``S`` steps left, step ``s`` takes the positions ``s, s + S, s + 2S ...``: two pairs of one song
        stand fewer than ``S`` positions apart, so they fall into different steps.
        """
        steps = self._steps - self._step
        by_song: dict[str, list[int]] = {}
        for number in self._shuffled(self._numbers(), "rest"):
            by_song.setdefault(self._waiting[number][0], []).append(number)
        sequence = np.array([number for numbers in by_song.values() for number in numbers[:steps]], dtype=np.int64)
        grid = sequence[: steps * self._batch_size].reshape(self._batch_size, steps)
        for column in self._shuffled(np.arange(steps), "column"):
            self._step += 1
            yield [self._take(number) for number in grid[:, column].tolist()]

    def _numbers(self) -> Integers:
        return np.fromiter(self._waiting, dtype=np.int64, count=len(self._waiting))

    def _shuffled(self, numbers: Integers, purpose: str) -> list[int]:
        """In an order of this step's own."""
        bits = hash_bits(*self._random, numbers + (self._step << STEP_BIT), f"webdataset.{purpose}")
        shuffled: list[int] = numbers[np.argsort(bits)].tolist()
        return shuffled

    def _take(self, number: int) -> Pair:
        song, pair = self._waiting.pop(number)
        self._songs[song] -= 1
        if not self._songs[song]:
            del self._songs[song]
        return pair
