"""What a loader of crop pairs delivers, and what stands behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor

from loaders.reading.meter import Counts

VIEWS = (0, 1)

Result = TypeVar("Result")


class Agree(Protocol):
    """Lets one rank decide for all: calls a function there and gives every rank its result."""

    def __call__(self, function: Callable[[], Result], /) -> Result:
        """The first rank's result, or its error."""


def decide_alone(function: Callable[[], Result], /) -> Result:
    """Where there is one rank, or all come to the same result by themselves."""
    return function()


@dataclass(frozen=True, eq=False)
class Batch:
    """This rank's rows of one global batch."""

    pcm: Tensor
    """Two crops of every track, int16 ``[b, 2, T]``, on the device."""
    keys: Tensor
    """Draw key of every view, int64 ``[b, 2]``, on the CPU, where augmentation parameters are drawn."""
    track: Tensor
    """Row of ``index.parquet``, int64 ``[b]``, on the CPU; a number made of the track's key with webdataset."""
    source: Tensor
    """Number of the data set in a mixture, 0 where there is one, int64 ``[b]``, on the CPU."""
    epoch: int
    step: int
    """Number of the batch in its epoch, from 0."""


class Feed(ABC):
    """Batches from one position on, without end, prepared ahead of the consumer."""

    @abstractmethod
    def __next__(self) -> Batch:
        """The next batch; waits until it is there.

        Raises:
            ShardError: it cannot be read; the feed is of no use any more.
        """

    def __iter__(self) -> Iterator[Batch]:
        return self

    @property
    def upload_seconds(self) -> float:
        """Time that finished copies to a GPU took, beside the computation; 0 where there are none."""
        return 0.0

    @abstractmethod
    def cancel(self) -> None:
        """Forget what is under way."""


class Supply(ABC):
    """A way to get the batches of a run: the part of :class:`loaders.PairLoader` that a backend chooses.

    Attributes:
        sample_rate: Hz.
        crop_frames: samples per crop.
        steps: batches of an epoch, the same on every rank and in every epoch.
        track_count: tracks in use.
        description: how batches are made and why so, one line.
        fingerprint: plain values; batches are the same where these are.
    """

    sample_rate: int
    crop_frames: int
    steps: int
    track_count: int
    description: str
    fingerprint: dict[str, Any]

    @abstractmethod
    def feed(self, epoch: int, step: int) -> Feed:
        """Batches from here on; one feed at a time."""

    @abstractmethod
    def counts(self) -> Counts:
        """What reading has cost so far."""

    @abstractmethod
    def close(self) -> None:
        """Stop reading; batches already delivered stay valid."""
